"""SQL of the outbox."""

import sqlite3

from appliance.notifications.model import Notice
from appliance.store.database import Select

_NOTICE = """
SELECT notice_id, tenant_id, alert_id, channel, recipient, subject, body, created_at, due_at, attempt_count, sent_at,
       given_up_at, last_error
FROM outbox
"""


def insert_notice(
    connection: sqlite3.Connection,
    tenant_id: int,
    alert_id: int | None,
    channel: str,
    recipient: str,
    subject: str,
    body: str,
    now: int,
) -> int:
    """Put a notice into the outbox, due at once, and give its number.

    Runs inside the transaction of what the notice tells of: neither is ever there without the other.
    """
    cursor = connection.execute(
        """
        INSERT INTO outbox (tenant_id, alert_id, channel, recipient, subject, body, created_at, due_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        """,
        (tenant_id, alert_id, channel, recipient, subject, body, now, now),
    )
    return int(cursor.lastrowid or 0)


def select_upcoming(channel: str, limit: int) -> Select[Notice]:
    """The notices of a channel that wait for an attempt, the one that is due first at the head.

    Of every tenant: each names its `tenant_id`.
    """
    return Select(
        f"{_NOTICE} WHERE due_at IS NOT NULL AND channel = ? ORDER BY due_at, notice_id LIMIT ?",
        (channel, limit),
        Notice,
    )


def select_waiting_channels() -> Select[str]:
    """The channels that notices of any tenant wait for."""
    return Select("SELECT DISTINCT channel FROM outbox WHERE due_at IS NOT NULL ORDER BY channel", (), str)


def select_notices(tenant_id: int, alert_id: int | None, limit: int) -> Select[Notice]:
    """The newest notices of a tenant, or of one of its alerts."""
    if alert_id is None:
        return Select(f"{_NOTICE} WHERE tenant_id = ? ORDER BY notice_id DESC LIMIT ?", (tenant_id, limit), Notice)
    return Select(
        f"{_NOTICE} WHERE tenant_id = ? AND alert_id = ? ORDER BY notice_id DESC LIMIT ?",
        (tenant_id, alert_id, limit),
        Notice,
    )


def update_attempted(connection: sqlite3.Connection, notice: Notice) -> None:
    """Write what an attempt made of a notice that was due."""
    connection.execute(
        """
        UPDATE outbox SET due_at = ?, attempt_count = ?, sent_at = ?, given_up_at = ?, last_error = ?
        WHERE tenant_id = ? AND notice_id = ? AND due_at IS NOT NULL
        """,
        (
            notice.due_at,
            notice.attempt_count,
            notice.sent_at,
            notice.given_up_at,
            notice.last_error,
            notice.tenant_id,
            notice.notice_id,
        ),
    )
