"""A notice as an e-mail message (RFC 5322).

Rules: a repeat of a notice is the same message, byte for byte, with the same Message-ID; nothing
that a person or a device named can add or break a header.
"""

import hashlib
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, parseaddr

from appliance.errors import InvalidInputError
from appliance.instant import SECOND_MS
from appliance.notifications.address import is_address
from appliance.notifications.model import Notice

PLAIN_LIMIT = 200
"""Longer headers are folded."""


class UnusableAddressError(InvalidInputError):
    """An address in an envelope or a header is none."""

    code = "unusable_address"


def sender_address(sender: str) -> str:
    """The bare address of `headworks@example.com` or `Headworks <headworks@example.com>`.

    Raises `UnusableAddressError`.
    """
    _, address = parseaddr(sender)
    if not sender.isprintable() or not is_address(address):
        raise UnusableAddressError(f"the sender is {sender!r}, expected an e-mail address")
    return address


def compose(notice: Notice, sender: str) -> bytes:
    """The message, with CRLF line ends and nothing but ASCII, ready for DATA.

    Raises `UnusableAddressError`.
    """
    address = sender_address(sender)
    if not is_address(notice.recipient):
        raise UnusableAddressError(f"the recipient is {notice.recipient!r}, expected an e-mail address")
    # The headers are written here and not by the email package: it decodes what looks like an encoded
    # word (RFC 2047) before it folds, so a subject that spells one out could bring in a line break.
    headers = (
        f"From: {formataddr((parseaddr(sender)[0], address))}",
        f"To: {notice.recipient}",
        f"Subject: {_header_text(notice.subject)}",
        f"Date: {format_datetime(_moment(notice.created_at))}",
        f"Message-ID: {message_id(notice, address)}",
        "Auto-Submitted: auto-generated",  # RFC 3834: asks answering machines to keep quiet
        "",
    )
    content = EmailMessage(policy=policy.SMTP)
    content.set_content(_encodable(notice.body), cte="quoted-printable")
    return "\r\n".join(headers).encode("ascii") + content.as_bytes()


def message_id(notice: Notice, sender: str) -> str:
    """The Message-ID of a notice: the same for each attempt, another for each notice of each gateway.

    The number alone would be the same on two gateways with one sender address, and a mail server may
    drop what it takes for a repeat; so the digest covers what the notice says, to whom, and when.
    """
    said = (notice.tenant_id, notice.notice_id, notice.created_at, notice.recipient, notice.subject, notice.body)
    digest = hashlib.sha256(repr(said).encode("utf-8", "replace")).hexdigest()[:32]
    return f"<notice-{notice.notice_id}.{digest}@{sender.rpartition('@')[2]}>"


def one_line(text: str) -> str:
    """Text with every line break, control character and other character that is not printed made a blank."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _header_text(text: str) -> str:
    """One line as it is, or as encoded words when it is long, not ASCII or looks like an encoded word."""
    line = _encodable(one_line(text))
    if line.isascii() and "=?" not in line and len(line) <= PLAIN_LIMIT:
        return line
    return Header(line, "utf-8", header_name="Subject").encode(linesep="\r\n")


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND_MS, UTC)
