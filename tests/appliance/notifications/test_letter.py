from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.notifications.letter import UnusableAddressError, compose, message_id, one_line, sender_address
from tests.appliance.notifications.examples import NOTICE, notice

SENDER = "Headworks <gateway@example.com>"
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
]

words = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def parsed(message: bytes) -> EmailMessage:
    result = BytesParser(policy=policy.default).parsebytes(message)
    assert isinstance(result, EmailMessage)
    return result


@given(words, words)
@example("pump\r\nBcc: eve@example.com", "\r\n.\r\nMAIL FROM:<eve@example.com>")
@example("=?utf-8?q?=0D=0ABcc:_eve?=", "")
@example("x" * 2_000, "y" * 2_000)
def test_nothing_that_was_named_can_add_or_break_a_header(subject: str, body: str) -> None:
    message = compose(notice(subject=subject, body=body), SENDER)
    head = message.partition(b"\r\n\r\n")[0]
    read = parsed(message)
    assert sorted(read.keys()) == sorted(HEADERS)
    assert read["To"] == NOTICE.recipient
    assert read["From"] == SENDER
    assert b"\r" not in head.replace(b"\r\n", b"")
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in message.split(b"\r\n"))  # RFC 5322, 2.1.1
    assert message.isascii()


@given(words, words)
@example("=?utf-8?q?=0D=0ABcc:_eve?=", "")
def test_what_a_notice_says_arrives(subject: str, body: str) -> None:
    read = parsed(compose(notice(subject=subject, body=body), SENDER))
    assert "".join(read["Subject"].split()) == "".join(one_line(subject).split())
    lines = body.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n")
    assert read.get_content().replace("\r\n", "\n").rstrip("\n").split("\n") == lines


@given(st.integers(0, 9), st.text())
def test_every_attempt_at_a_notice_is_the_same_message(count: int, reason: str) -> None:
    repeat = notice(attempt_count=count, last_error=reason, due_at=NOTICE.created_at + count)
    assert compose(repeat, SENDER) == compose(NOTICE, SENDER)


def test_a_surrogate_cannot_stop_a_message() -> None:
    assert b"?" in compose(notice(subject="\ud800", body="\ud800"), SENDER)


def test_two_notices_and_two_gateways_never_share_a_message_id() -> None:
    others = [
        notice(notice_id=8),
        notice(tenant_id=2),
        notice(created_at=NOTICE.created_at + 1),
        notice(recipient="juan@example.com"),
        notice(body="another pump"),
    ]
    ids = {message_id(each, "gateway@example.com") for each in [NOTICE, *others]}
    assert len(ids) == 1 + len(others)
    assert all(each.startswith("<notice-") and each.endswith("@example.com>") for each in ids)


def test_a_message_says_that_a_machine_wrote_it_and_when() -> None:
    read = parsed(compose(NOTICE, SENDER))
    assert read["Auto-Submitted"] == "auto-generated"
    assert read["Date"] == "Thu, 01 Jan 2026 00:00:00 +0000"


def test_a_sender_may_have_a_name() -> None:
    assert sender_address(SENDER) == sender_address("gateway@example.com") == "gateway@example.com"


@pytest.mark.parametrize("sender", ["", "nobody", "a@b\r\nBcc: eve@example.com", "<>"])
def test_an_unusable_sender_is_refused(sender: str) -> None:
    with pytest.raises(UnusableAddressError, match="expected an e-mail address"):
        sender_address(sender)


def test_an_unusable_recipient_is_refused() -> None:
    with pytest.raises(UnusableAddressError, match="the recipient is"):
        compose(notice(recipient="a@b\r\nBcc: eve@example.com"), SENDER)
