"""The local mailbox: one .eml file a notice, for a gateway without an SMTP server.

Rules: a file is there whole or not at all, and it is on the disk before the notice counts as sent;
the same notice is the same file, so a repeat after a crash is still one message. The newest
thousand messages are kept.
"""

import asyncio
import os
import re
from email import policy
from email.parser import BytesParser
from pathlib import Path

from appliance.instant import SECOND_MS
from appliance.notifications.channel import ChannelError
from appliance.notifications.letter import UnusableAddressError, compose, one_line
from appliance.notifications.model import MailboxMessage, Notice

SENDER = "headworks@localhost"
SHOWN_LIMIT = 100
KEPT_LIMIT = 1_000

_NAME = re.compile(r"(\d{12})\.eml")


class MailboxChannel:
    """Puts each notice into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, MailboxMessage] = {}

    async def send(self, notice: Notice) -> None:
        """Put a notice into the folder. Raises `ChannelError`."""
        try:
            message = compose(notice, SENDER)
        except UnusableAddressError as error:
            raise ChannelError(str(error), permanent=True) from error
        try:
            await asyncio.to_thread(self._write, f"{notice.notice_id:012d}.eml", message)
        except OSError as error:
            raise ChannelError(
                f"the mailbox {self._folder} cannot be written: {error.strerror}", permanent=False
            ) from error

    def messages(self) -> list[MailboxMessage]:
        """The newest messages, the newest first, at most 100. Each file is read once."""
        names = self._names()[:SHOWN_LIMIT]
        self._read = {name: self._read.get(name) or self._parse(name) for name in names}
        return list(self._read.values())

    def _names(self) -> list[str]:
        try:
            names = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(filter(_NAME.fullmatch, names), reverse=True)

    def _parse(self, name: str) -> MailboxMessage:
        message = BytesParser(policy=policy.SMTP).parsebytes((self._folder / name).read_bytes())
        return MailboxMessage(
            notice_id=int(name[:12]),
            recipient=str(message["To"]),
            subject=one_line(str(message["Subject"])),
            body=message.get_content().replace("\r\n", "\n"),
            created_at=int(message["Date"].datetime.timestamp()) * SECOND_MS,
            message_id=str(message["Message-ID"]),
        )

    def _write(self, name: str, message: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}"
        with open(unfinished, "wb", opener=_private) as file:
            file.write(message)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._folder / name)
        _sync_folder(self._folder)
        for old in self._names()[KEPT_LIMIT:]:
            (self._folder / old).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """The new name of a file is on the disk only once its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)
