"""Notices by e-mail over SMTP (RFC 5321).

Rules:
- Permanent is only what the server says of this recipient or this message, with a 5yz code. A wrong
  password, an unknown sender, a missing certificate can be mended: those notices wait on the ladder.
- The time-out covers the whole conversation, so a server that drips cannot hold a place for ever.
- The password is read for each conversation: a new one needs no restart. It is never logged.
- Once DATA is answered the notice is sent; how the goodbye goes does not matter.
"""

import asyncio
import contextlib
import platform
from collections.abc import AsyncIterator
from pathlib import Path

from aiosmtplib import (
    SMTP,
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from appliance.config import EmailConfig
from appliance.instant import SECOND_MS
from appliance.notifications.channel import ChannelError
from appliance.notifications.letter import UnusableAddressError, compose, one_line, sender_address
from appliance.notifications.model import Notice

REASON_LIMIT = 300
GOODBYE_SECONDS = 1.0

_NOT_SIGNED_IN = (530, 534, 535, 538)
"""RFC 4954: the server wants another or a better sign-in. The settings are at fault, not the message."""


class SmtpChannel:
    """Sends each notice in a conversation of its own with the configured server."""

    def __init__(self, config: EmailConfig) -> None:
        self._config = config

    async def send(self, notice: Notice) -> None:
        """Hand a notice to the server. Raises `ChannelError`."""
        try:
            sender = sender_address(self._config.sender)
        except UnusableAddressError as error:
            raise ChannelError(f"email.sender: {error}", permanent=False) from error
        try:
            message = compose(notice, self._config.sender)
        except UnusableAddressError as error:
            raise ChannelError(str(error), permanent=True) from error
        try:
            async with self._conversation() as client:
                await client.mail(sender)
                await client.rcpt(notice.recipient)
                await client.data(message)
        except (SMTPException, OSError, ValueError) as error:
            raise self._failure(error) from error

    @contextlib.asynccontextmanager
    async def _conversation(self) -> AsyncIterator[SMTP]:
        """A connected, signed-in client."""
        client = self._client(await self._password())
        try:
            async with asyncio.timeout(self._config.timeout_ms / SECOND_MS):
                await client.connect()
                yield client
            # The message is taken: a server that does not answer the goodbye changes nothing.
            with contextlib.suppress(SMTPException, OSError):
                await client.quit(timeout=GOODBYE_SECONDS)
        finally:
            client.close()

    def _client(self, password: str | None) -> SMTP:
        config = self._config
        return SMTP(
            hostname=config.server,
            port=config.port,
            username=config.username or None,
            password=password,
            # The library would look the name up in the DNS, in a thread that nothing can stop.
            local_hostname=platform.node(),
            timeout=config.timeout_ms / SECOND_MS,
            use_tls=config.security == "tls",
            start_tls=config.security == "starttls",
        )

    async def _password(self) -> str | None:
        if not self._config.username:
            return None
        path = Path(self._config.password_file)
        try:
            text = await asyncio.to_thread(path.read_text, encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ChannelError(f"email.password_file {path} cannot be read", permanent=False) from error
        return text.partition("\n")[0].strip()

    def _failure(self, error: Exception) -> ChannelError:
        where = f"{self._config.server}:{self._config.port}"
        match error:
            case SMTPRecipientRefused() | SMTPDataError():
                return ChannelError(_answer(where, error), permanent=_is_permanent(error))
            case SMTPResponseException():
                return ChannelError(_answer(where, error), permanent=False)
            case TimeoutError():
                seconds = self._config.timeout_ms / SECOND_MS
                return ChannelError(f"{where} did not answer within {seconds:g} s", permanent=False)
            case SMTPConnectError():
                return ChannelError(
                    _shortened(f"no connection to {where}: {error.__cause__ or error}"), permanent=False
                )
            case SMTPServerDisconnected():
                return ChannelError(f"{where} closed the connection", permanent=False)
            case _:
                return ChannelError(_shortened(f"{where}: {error}"), permanent=False)


def _is_permanent(error: SMTPResponseException) -> bool:
    return 500 <= error.code < 600 and error.code not in _NOT_SIGNED_IN  # noqa: PLR2004  the class 5yz, RFC 5321 4.2.1


def _answer(where: str, error: SMTPResponseException) -> str:
    return _shortened(f"{where} answered {error.code} {error.message}")


def _shortened(text: str) -> str:
    return one_line(text)[:REASON_LIMIT]
