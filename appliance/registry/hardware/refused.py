"""The PIN that a token has refused, known again without being kept.

A token locks itself after a few wrong PINs. So one that was refused is remembered beyond the end of the process, on
disk, as a salted hash: it is not shown again by a gateway that is started over and over either.
"""

import hashlib
import hmac
import logging
from pathlib import Path

from appliance.registry import files

log = logging.getLogger(__name__)

FILE = "pin-refused"
"""The name of the file, in the folder of keys."""

_ROUNDS, _BLOCK, _LANES = 16_384, 8, 1
"""16 MiB of memory for each guess: a PIN is short."""


class RefusedPin:
    """The last PIN that was refused, if any has been since the token took one."""

    def __init__(self, path: Path | None = None, salt: bytes = b"") -> None:
        """Remember it in this file, with a salt of 16 random bytes; without a file until the process ends."""
        self.path = path
        self._salt = salt
        self._mark = ""
        self._is_read = path is None

    def is_it(self, token: str, pin: str) -> bool:
        """Whether this token refused this PIN."""
        if not self._is_read:
            self._mark, self._is_read = self._read(), True
        salt, _, known = self._mark.partition(" ")
        return bool(known) and hmac.compare_digest(_hashed(salt, token, pin), known)

    def note(self, token: str, pin: str) -> None:
        """Remember that this token refused this PIN."""
        salt = self._salt.hex()
        self._mark, self._is_read = f"{salt} {_hashed(salt, token, pin)}", True
        if self.path is None:
            return
        try:
            files.write(self.path, self._mark + "\n", files.PRIVATE)
        except OSError as error:
            log.warning("refused PIN not remembered beyond this process file=%s reason=%s", self.path, error.strerror)

    def clear(self) -> None:
        """Forget it: the token took another."""
        if self.path is not None and (self._mark or not self._is_read):
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("refused PIN not forgotten file=%s reason=%s", self.path, error.strerror)
        self._mark, self._is_read = "", True

    def _read(self) -> str:
        try:
            return self.path.read_text(encoding="ascii").strip() if self.path is not None else ""
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            log.warning("refused PIN not known file=%s reason=%s", self.path, error)
            return ""


def _hashed(salt: str, token: str, pin: str) -> str:
    told = f"{token}\0{pin}".encode()
    return hashlib.scrypt(told, salt=salt.encode(), n=_ROUNDS, r=_BLOCK, p=_LANES, dklen=32).hex()
