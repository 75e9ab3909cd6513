"""A notice as an e-mail message (RFC 5322).

Rules: a repeat of a notice is the same message, byte for byte, with the same Message-ID; nothing
that a person or a device named can add or break a header.
"""

import hashlib
from datetime import UTC, datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from appliance.errors import InvalidInputError
from appliance.instant import SECOND_MS
from appliance.notifications.address import is_address
from appliance.notifications.model import Notice


class UnusableAddressError(InvalidInputError):
    """An address in an envelope or a header is none."""

    code = "unusable_address"


def sender_address(sender: str) -> str:
    """The bare address of `headworks@example.com` or `Headworks <headworks@example.com>`.

    Raises `UnusableAddressError`.
    """
    _, address = parseaddr(sender)
    if not is_address(address):
        raise UnusableAddressError(f"the sender is {sender!r}, expected an e-mail address")
    return address


def compose(notice: Notice, sender: str) -> bytes:
    """The message, with CRLF line ends and 7-bit content, ready for DATA.

    Raises `UnusableAddressError`.
    """
    address = sender_address(sender)
    if not is_address(notice.recipient):
        raise UnusableAddressError(f"the recipient is {notice.recipient!r}, expected an e-mail address")
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = Address(one_line(parseaddr(sender)[0]), addr_spec=address)
    message["To"] = Address(addr_spec=notice.recipient)
    message["Subject"] = one_line(notice.subject)
    message["Date"] = format_datetime(_moment(notice.created_at))
    message["Message-ID"] = message_id(notice, address)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks answering machines to keep quiet
    message.set_content(_encodable(notice.body), cte="quoted-printable")
    return message.as_bytes()


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


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at // SECOND_MS, UTC)
