"""A real SMTP server (aiosmtpd) on a port of its own, whose answers a test chooses."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from appliance.config import EmailConfig

PASSWORD = "the secret of the mail server"


class SmtpServer:
    """What a server has taken, and how it answers."""

    def __init__(self) -> None:
        self.port = 0
        self.messages: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.logins: list[tuple[str, bool]] = []
        self.recipient_answers: dict[str, list[str]] = {}
        """Answers to RCPT by address, the next one first; none left: taken."""
        self.data_answers: list[str] = []
        self.data_arrived = asyncio.Event()
        self.data_released = asyncio.Event()
        """DATA is answered only while this is set."""
        self.data_released.set()

    def config(self, **fields: object) -> EmailConfig:
        """Settings that send to this server."""
        asked: dict[str, object] = {"server": "127.0.0.1", "port": self.port, "security": "none", "timeout_ms": 5_000}
        return EmailConfig(**(asked | fields))  # type: ignore[arg-type]  # the fields a test sets

    @asynccontextmanager
    async def listening(
        self, port: int = 0, tls: ssl.SSLContext | None = None, *, starttls: bool = False, login: bool = False
    ) -> AsyncIterator["SmtpServer"]:
        """Take connections until left; what is connected then is cut off."""
        loop = asyncio.get_running_loop()
        sessions: list[_Session] = []

        def session() -> _Session:
            # Signing in without TLS is what aiosmtpd warns of, and what one of the tests is about.
            with warnings.catch_warnings(action="ignore"):
                made = _Session(
                    self,
                    hostname="mail.example.com",
                    loop=loop,
                    tls_context=tls if starttls else None,
                    require_starttls=starttls,
                    authenticator=self._authenticate if login else None,
                    auth_required=login,
                    auth_require_tls=False,
                )
            sessions.append(made)
            return made

        server = await loop.create_server(session, "127.0.0.1", port, ssl=None if starttls else tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for each in sessions:
                each.cut_off()
            await server.wait_closed()
            await asyncio.sleep(0)

    async def handle_RCPT(  # noqa: N802  aiosmtpd names it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answers = self.recipient_answers.get(address, [])
        answer = answers.pop(0) if answers else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  so too
        self.data_arrived.set()
        await self.data_released.wait()
        answer = self.data_answers.pop(0) if self.data_answers else "250 OK"
        if answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            parsed = BytesParser(policy=policy.default).parsebytes(content)
            assert isinstance(parsed, EmailMessage)
            self.messages.append(parsed)
            self.envelopes.append((str(envelope.mail_from), [str(address) for address in envelope.rcpt_tos]))
        return answer

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        success = data.password == PASSWORD.encode()
        self.logins.append((data.login.decode(), success))
        return AuthResult(success=success, handled=False)


class _Session(SMTP):
    """One connection, which its server can cut off."""

    def cut_off(self) -> None:
        # Debian 12's Python cannot abort a TLS transport that is already closed.
        if isinstance(self.transport, asyncio.WriteTransport) and not self.transport.is_closing():
            self.transport.abort()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()


@asynccontextmanager
async def silence(port: int = 0, greeting: bytes = b"") -> AsyncIterator[tuple[int, Callable[[], int]]]:
    """A server that takes connections and says nothing more than a greeting; its port, and how many came."""
    writers: list[asyncio.StreamWriter] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1], lambda: len(writers)
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for writer in writers:
            await writer.wait_closed()
        await server.wait_closed()
