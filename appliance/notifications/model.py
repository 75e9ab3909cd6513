"""The nouns of notifying people."""

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """One message to one recipient: a row of the outbox. Moments are UTC milliseconds of the gateway's clock."""

    notice_id: int
    tenant_id: int
    alert_id: int | None
    channel: str
    recipient: str
    subject: str
    body: str
    created_at: int
    due_at: int | None
    """When the next attempt is to be made; None when there is none to make."""
    attempt_count: int
    sent_at: int | None
    given_up_at: int | None
    last_error: str | None
    """Why the last attempt failed, in words for people."""


class NoticesQueued(msgspec.Struct, frozen=True):
    """Event: notices were written into the outbox."""

    tenant_id: int


class NoticeAttempted(msgspec.Struct, frozen=True):
    """Event: an attempt was made, and its outcome is on disk. The notice is as it is after it."""

    notice: Notice


class MailboxMessage(msgspec.Struct, frozen=True):
    """One message in the local mailbox, as a page shows it."""

    notice_id: int
    recipient: str
    subject: str
    body: str
    created_at: int
    message_id: str
