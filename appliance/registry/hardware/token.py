"""A token behind a PKCS #11 module: found, unlocked, and asked to sign.

Rules: nothing is loaded before the first use, so that without a token the gateway needs no package for it. Calls come
one at a time, from whichever thread. A session that fails is opened once more; a PIN that was refused is not shown
again before its file holds another, for a token locks itself after a few of them. A call that is given up, for it does
not come back, gives nothing when it does.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.config import CaConfig
from appliance.registry import files
from appliance.registry.hardware.key import CURVES, HardwareKey, public_key
from appliance.registry.hardware.model import HardwareKeyError, PinRefusedError
from appliance.registry.hardware.refused import RefusedPin
from appliance.registry.model import KeyFolderError

log = logging.getLogger(__name__)

T = TypeVar("T")


class _Open(msgspec.Struct, frozen=True):
    """A session in which the token is unlocked, and the private key, if it is there."""

    session: Any
    key: Any


class Call:
    """Something that the token is asked for. It is answered, or given up, and never both."""

    def __init__(self) -> None:
        self._undecided = [self]

    def decide(self) -> bool:
        """Whether this comes first; from whichever thread."""
        try:
            self._undecided.pop()
        except IndexError:
            return False
        return True


class Token:
    """The token of the settings, or none."""

    def __init__(self, settings: CaConfig, refused: RefusedPin | None = None) -> None:
        """`refused` remembers a PIN that was refused; without it that is known as long as the process lasts."""
        self._settings = settings
        self._open: _Open | None = None
        self._module: Any = None
        self._refused = refused or RefusedPin()
        self.trouble = ""
        """What kept the token from its work when it was last asked; empty when nothing did."""
        self.call: Call | None = None
        """What it is being asked for; None while it is at rest."""
        self.is_silent = False
        """Whether a call was given up and has not come back."""

    @property
    def is_configured(self) -> bool:
        """Whether the settings name a token."""
        return bool(self._settings.pkcs11_module)

    @property
    def label(self) -> str:
        """What the settings call the token, and the key in it."""
        return f"{self._settings.pkcs11_token}/{self._settings.pkcs11_key}"

    def key_of(self, public: ec.EllipticCurvePublicKey) -> HardwareKey:
        """The private half of a public key that is known. The token is asked when it has to sign."""
        return HardwareKey(public, self)

    def sign(self, digest: bytes) -> bytes:
        """The two numbers of an ECDSA signature, one after the other. Raises `HardwareKeyError`."""

        def work(opened: _Open) -> bytes:
            if opened.key is None:
                raise HardwareKeyError(f"the token {self._settings.pkcs11_token!r} has no private key {self._named}")
            signed: bytes = opened.key.sign(digest, mechanism=_pkcs11().Mechanism.ECDSA)
            return signed

        return self._asked(work)

    def key(self) -> HardwareKey:
        """The key of the settings' label; made where there is none. Raises `HardwareKeyError`."""

        def work(opened: _Open) -> ec.EllipticCurvePublicKey:
            return self._known_public(opened) if opened.key is not None else self._made(opened)

        return self.key_of(self._asked(work))

    def check(self) -> str:
        """What keeps the token from signing; empty when nothing does."""

        def work(opened: _Open) -> None:
            if opened.key is None:
                raise HardwareKeyError(f"the token {self._settings.pkcs11_token!r} has no private key {self._named}")

        with contextlib.suppress(HardwareKeyError):
            self._asked(work)
        return self.trouble

    def give_up(self, call: Call) -> None:
        """Take a call for one that does not come back, from another thread; nothing if it has just done so."""
        if self.is_silent:
            return
        before = self.trouble
        self.trouble = (
            f"the token {self._settings.pkcs11_token!r} does not answer: plug it in again, and if that does not"
            " help, restart the gateway"
        )
        self.is_silent = True
        if call.decide():
            log.error("token did not answer token=%s", self.label)
        else:
            self.is_silent, self.trouble = False, before

    def close(self) -> None:
        """Lock the token again. Raises `HardwareKeyError` while it is silent."""
        if self._open is not None:
            with self._called():
                self._end_session()

    def _end_session(self) -> None:
        if self._open is not None:
            opened, self._open = self._open, None
            with contextlib.suppress(_pkcs11().PKCS11Error):
                opened.session.close()

    @property
    def _named(self) -> str:
        return f"with the label {self._settings.pkcs11_key!r}"

    def _asked(self, work: Callable[[_Open], T]) -> T:
        """Have the token do something, and remember what kept it from that."""
        was_open = self._open is not None
        with self._called():
            try:
                done = self._answer(work)
            except HardwareKeyError as error:
                if self.trouble != str(error):
                    log.error("token did not do its work token=%s reason=%s", self.label, error)  # noqa: TRY400  it is a sentence, not a defect
                self.trouble = str(error)
                raise
            if self.trouble or not was_open:
                log.info("token unlocked token=%s", self.label)
            self.trouble = ""
        return done

    @contextlib.contextmanager
    def _called(self) -> Iterator[None]:
        """Be given up on while the block lasts; whoever was gives nothing, for nobody waits for it."""
        if self.is_silent:
            raise HardwareKeyError(self.trouble)
        self.call = call = Call()
        try:
            yield
        finally:
            self.call = None
            is_late = not call.decide()
            if is_late:
                self.is_silent = False
        if is_late:
            log.info("token answered after it was given up token=%s", self.label)
            raise HardwareKeyError(f"the token {self._settings.pkcs11_token!r} answered too late: ask again")

    def _answer(self, work: Callable[[_Open], T]) -> T:
        """Have it done, a second time where the session was at an end."""
        if not self.is_configured:
            raise HardwareKeyError("the issuing CA's key is in a token, but ca.pkcs11_module names none")
        pkcs11 = _pkcs11()
        with self._in_words():
            try:
                self._open = self._open or self._opened()
                return work(self._open)
            except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked):
                # Not a second time: a few of these lock the token.
                raise
            except pkcs11.PKCS11Error as error:
                log.debug("token asked again after a failure token=%s error=%s", self.label, _named(error))
                self._start_anew()
                self._open = self._opened()
                return work(self._open)

    def _start_anew(self) -> None:
        """Give up a session that has failed, and have the module look for its tokens anew."""
        self._end_session()
        self._loaded().reinitialize()

    def _loaded(self) -> Any:
        # Kept here, too: a call that does not come back keeps its token, and at the end of the process nobody must
        # take the module away from under it.
        self._module = _pkcs11().lib(self._settings.pkcs11_module)
        return self._module

    def _opened(self) -> _Open:
        pkcs11, settings = _pkcs11(), self._settings
        token = self._loaded().get_token(token_label=settings.pkcs11_token)
        pin = self._pin()
        try:
            session = token.open(user_pin=pin, rw=True)
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
            self._refused.note(self._refuser, pin)
            raise
        self._refused.clear()
        try:
            key = session.get_key(object_class=pkcs11.ObjectClass.PRIVATE_KEY, label=settings.pkcs11_key)
        except pkcs11.NoSuchKey:
            key = None
        except BaseException:
            session.close()
            raise
        return _Open(session, key)

    def _pin(self) -> str:
        path = Path(self._settings.pin_file)
        try:
            pin = files.read_private(path).decode("utf-8").strip()
        except OSError as error:
            raise HardwareKeyError(f"ca.pin_file: {path} cannot be read: {error.strerror}") from error
        except (KeyFolderError, UnicodeDecodeError) as error:
            raise HardwareKeyError(f"ca.pin_file: {error}") from error
        if self._refused.is_it(self._refuser, pin):
            known = self._refused.path
            raise PinRefusedError(
                f"the token {self._settings.pkcs11_token!r} refused the PIN of {path}; it is not shown again before "
                "that file holds another, for the token would lock itself"
                + (f". If the token takes that PIN by now, remove {known}" if known else "")
            )
        return pin

    @property
    def _refuser(self) -> str:
        """Which token a PIN is for."""
        return f"{self._settings.pkcs11_module}/{self._settings.pkcs11_token}"

    def _known_public(self, opened: _Open) -> ec.EllipticCurvePublicKey:
        pkcs11 = _pkcs11()
        public = opened.session.get_key(object_class=pkcs11.ObjectClass.PUBLIC_KEY, label=self._settings.pkcs11_key)
        if public.key_type is not pkcs11.KeyType.EC:
            raise HardwareKeyError(f"the key {self._named} is of the kind {public.key_type.name}, expected EC")
        parameters = public[pkcs11.Attribute.EC_PARAMS]
        for curve in CURVES:
            if parameters == _parameters(curve):
                return public_key(curve, public[pkcs11.Attribute.EC_POINT])
        raise HardwareKeyError(f"the key {self._named} is on another curve than P-256 and P-384")

    def _made(self, opened: _Open) -> ec.EllipticCurvePublicKey:
        pkcs11, curve = _pkcs11(), CURVES[0]
        domain = opened.session.create_domain_parameters(
            pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: _parameters(curve)}, local=True
        )
        fixed = {pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False}
        public, private = domain.generate_keypair(store=True, label=self._settings.pkcs11_key, private_template=fixed)
        self._open = _Open(opened.session, private)
        log.info("key made in a token token=%s", self.label)
        return public_key(curve, public[pkcs11.Attribute.EC_POINT])

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        """Say what the module's errors mean to the person who can mend it."""
        pkcs11, token = _pkcs11(), self._settings.pkcs11_token
        try:
            yield
        except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange) as error:
            raise PinRefusedError(
                f"the token {token!r} refused the PIN of {self._settings.pin_file}: correct that file"
            ) from error
        except pkcs11.PinLocked as error:
            raise PinRefusedError(f"the token {token!r} is locked: unlock it with the tool of its maker") from error
        except (pkcs11.NoSuchToken, pkcs11.TokenNotPresent, pkcs11.DeviceRemoved) as error:
            raise HardwareKeyError(f"no token with the label {token!r} is there: is it plugged in?") from error
        except pkcs11.MultipleTokensReturned as error:
            raise HardwareKeyError(f"several tokens have the label {token!r}: give them different ones") from error
        except pkcs11.MultipleObjectsReturned as error:
            raise HardwareKeyError(f"the token {token!r} has several keys {self._named}: remove all but one") from error
        except pkcs11.PKCS11Error as error:
            raise HardwareKeyError(f"the token {token!r} failed ({_named(error)}): is it still there?") from error
        except (RuntimeError, OSError) as error:
            raise HardwareKeyError(f"ca.pkcs11_module: {self._settings.pkcs11_module}: {error}") from error


def _pkcs11() -> Any:
    """The package, imported when it is needed first. Raises `HardwareKeyError` where it is not installed."""
    try:
        import pkcs11  # noqa: PLC0415  whoever has no token needs no package for it
    except ImportError as error:
        raise HardwareKeyError(
            "a key in hardware needs the package python-pkcs11, which is not installed: install headworks[hsm]"
        ) from error
    return pkcs11


def _parameters(curve: ec.EllipticCurve) -> bytes:
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415  as above

    parameters: bytes = encode_named_curve_parameters(curve.name)
    return parameters


def _named(error: Exception) -> str:
    """The module's own word for what happened."""
    return f"{type(error).__name__} {error}".strip()
