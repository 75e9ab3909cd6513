"""The tables of a file of roll-ups. docs/reference/rollups.md says what they hold."""

from collections.abc import Iterable

from appliance.telemetry.rollups.model import DamagedRollUpsError

STEPS = (
    """
    CREATE TABLE device (
        device_number INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant_id INTEGER NOT NULL,
        device_id TEXT NOT NULL,
        UNIQUE (tenant_id, device_id)
    ) STRICT;
    CREATE TABLE hour (
        hour_id INTEGER PRIMARY KEY,
        tenant_id INTEGER NOT NULL,
        reading_count INTEGER NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE TABLE day (
        day_id INTEGER PRIMARY KEY,
        tenant_id INTEGER NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    CREATE TABLE progress (
        day INTEGER PRIMARY KEY,
        last_log_id INTEGER NOT NULL,
        is_whole INTEGER NOT NULL DEFAULT 0,
        is_closed INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    """,
    """
    CREATE TABLE packed (
        packed_id INTEGER PRIMARY KEY,
        tenant_id INTEGER NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    ALTER TABLE progress ADD COLUMN is_packed INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE metric_day (
        metric_day_id INTEGER PRIMARY KEY,
        tenant_id INTEGER NOT NULL,
        record BLOB NOT NULL
    ) STRICT;
    """,
)
"""What each version of the file has more than the one before."""

METRIC_DAYS_VERSION = 3
"""From here on there are rows of metrics."""

SINCE = {"packed": 2, "metric_day": METRIC_DAYS_VERSION}
"""The version from which on a file has a table that the first version lacks."""

VERSION = len(STEPS)
"""Of the newest file, as its `user_version`."""


def require_kind(kind: type, values: Iterable[object]) -> None:
    """Raise `DamagedRollUpsError` unless all values are of a kind: the tables let no others in, a damaged page does."""
    if not {kind}.issuperset(map(type, values)):
        raise DamagedRollUpsError("a row of a file of roll-ups lacks a value, so its page was damaged")
