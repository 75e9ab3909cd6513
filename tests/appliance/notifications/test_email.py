import asyncio
import datetime as dt
import ipaddress
import logging
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.notifications.channel import ChannelError
from appliance.notifications.email import SmtpChannel
from tests.appliance.notifications.examples import NOTICE, notice
from tests.appliance.notifications.smtp_server import PASSWORD, SmtpServer, silence


async def refusal(channel: SmtpChannel, **fields: object) -> ChannelError:
    with pytest.raises(ChannelError) as caught:
        await channel.send(notice(**fields))
    return caught.value


async def test_a_notice_arrives_as_it_was_written() -> None:
    async with SmtpServer().listening() as server:
        await SmtpChannel(server.config(sender="Headworks <gateway@example.com>")).send(NOTICE)
    assert server.envelopes == [("gateway@example.com", ["maria@example.com"])]
    (message,) = server.messages
    assert message["Subject"] == NOTICE.subject
    assert message["To"] == "maria@example.com"
    assert message["From"] == "Headworks <gateway@example.com>"
    assert message["Message-ID"].startswith("<notice-7.")
    assert message.get_content().splitlines() == NOTICE.body.splitlines()


async def test_a_repeat_can_be_recognised_by_its_message_id() -> None:
    async with SmtpServer().listening() as server:
        for attempt_count in (0, 3):
            await SmtpChannel(server.config()).send(notice(attempt_count=attempt_count))
        await SmtpChannel(server.config()).send(notice(notice_id=8))
    first, repeat, other = (message["Message-ID"] for message in server.messages)
    assert first == repeat != other


@pytest.mark.parametrize(
    ("answer", "permanent"),
    [
        ("550 5.1.1 no such mailbox", True),
        ("553 5.1.3 bad address", True),
        ("450 4.2.1 try later", False),
        ("421 4.3.2 shutting down", False),
        ("530 5.7.0 Authentication required", False),
    ],
)
async def test_a_refused_recipient_is_permanent_only_when_the_server_says_so(answer: str, permanent: bool) -> None:
    async with SmtpServer().listening() as server:
        server.recipient_answers["maria@example.com"] = [answer]
        error = await refusal(SmtpChannel(server.config()))
    assert error.permanent is permanent
    assert error.reason == f"127.0.0.1:{server.port} answered {answer}"


@pytest.mark.parametrize(("answer", "permanent"), [("554 5.7.1 spam", True), ("451 4.3.0 busy", False)])
async def test_a_refused_message_is_permanent_only_when_the_server_says_so(answer: str, permanent: bool) -> None:
    async with SmtpServer().listening() as server:
        server.data_answers = [answer]
        error = await refusal(SmtpChannel(server.config()))
    assert (error.permanent, error.reason.endswith(answer)) == (permanent, True)


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    async with silence() as (port, _):
        pass
    error = await refusal(SmtpChannel(SmtpServer().config(port=port)))
    assert not error.permanent
    assert error.reason.startswith(f"no connection to 127.0.0.1:{port}: [Errno 111]")


@pytest.mark.parametrize("greeting", [b"", b"220 mail.example.com\r\n", b"220-drip\r\n" * 3])
async def test_a_server_that_says_nothing_is_tried_again(greeting: bytes) -> None:
    async with silence(greeting=greeting) as (port, count):
        error = await refusal(SmtpChannel(SmtpServer().config(port=port, timeout_ms=50)))
        assert count() == 1
    assert error.reason == f"127.0.0.1:{port} did not answer within 0.05 s"
    assert not error.permanent


async def test_a_server_that_hangs_up_or_talks_nonsense_is_tried_again() -> None:
    for greeting in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"554 go away\r\n", b"\x00\xff\r\n"):
        async with silence(greeting=greeting) as (port, _):
            assert not (await refusal(SmtpChannel(SmtpServer().config(port=port, timeout_ms=100)))).permanent
    async with SmtpServer().listening() as server:
        server.data_released.clear()
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(refusal(SmtpChannel(server.config())))
            await server.data_arrived.wait()
            server.data_released.set()
            server.data_answers = ["421 4.3.2 closing"]
        assert not sending.result().permanent


async def test_the_password_comes_from_its_file_at_each_attempt_and_is_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "password"
    file.write_text("wrong\n", encoding="utf-8")
    async with SmtpServer().listening(login=True) as server:
        channel = SmtpChannel(server.config(username="gateway", password_file=str(file)))
        error = await refusal(channel)
        assert not error.permanent
        assert "535" in error.reason
        file.write_text(f"{PASSWORD}\nwhat is below is a note\n", encoding="utf-8")
        await channel.send(NOTICE)
    assert server.logins[-1] == ("gateway", True)
    assert len(server.messages) == 1
    own = [record.getMessage() for record in caplog.records if not record.name.startswith(("mail.log", "asyncio"))]
    assert not any(secret in text for text in [*own, error.reason] for secret in (PASSWORD, "wrong"))


async def test_a_missing_password_file_is_said_and_tried_again(tmp_path: Path) -> None:
    config = SmtpServer().config(username="gateway", password_file=str(tmp_path / "absent"))
    error = await refusal(SmtpChannel(config))
    assert error.reason == f"email.password_file {tmp_path / 'absent'} cannot be read"
    assert not error.permanent


async def test_an_unusable_recipient_is_given_up_and_an_unusable_sender_is_not() -> None:
    assert (await refusal(SmtpChannel(SmtpServer().config()), recipient="maria@x\r\nBcc: eve@x")).permanent
    error = await refusal(SmtpChannel(SmtpServer().config(sender="nobody")))
    assert "email.sender" in error.reason
    assert not error.permanent


async def test_a_server_without_starttls_is_not_told_anything_in_the_clear(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD, encoding="utf-8")
    async with SmtpServer().listening(login=True) as server:
        config = server.config(security="starttls", username="gateway", password_file=str(file))
        error = await refusal(SmtpChannel(config))
    assert "STARTTLS" in error.reason
    assert not error.permanent
    assert (server.logins, server.messages) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_refused_and_one_that_is_trusted_is_used(
    security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with SmtpServer().listening(tls=context, starttls=security == "starttls") as server:
        channel = SmtpChannel(server.config(security=security))
        error = await refusal(channel)
        assert "certificate verify failed" in error.reason
        assert not error.permanent
        assert server.messages == []
        # What a gateway trusts is a matter of its system; OpenSSL takes it from here.
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await channel.send(NOTICE)
    assert len(server.messages) == 1


async def test_a_message_that_was_taken_is_sent_even_if_the_goodbye_fails() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        async for line in reader:
            if line == b".\r\n":
                writer.write(b"250 taken\r\n")
                writer.close()
                return
            if line.startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
            elif line[:4] in (b"EHLO", b"MAIL", b"RCPT"):
                writer.write(b"250 OK\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        await SmtpChannel(SmtpServer().config(port=server.sockets[0].getsockname()[1])).send(NOTICE)


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    day = dt.timedelta(days=1)
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file
