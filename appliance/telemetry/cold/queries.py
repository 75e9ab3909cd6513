"""What gateway.db knows of days as Parquet. They are of the gateway, which counts as its first tenant."""

import sqlite3
from typing import Any

from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Select
from appliance.telemetry.cold.model import ColdDay, Erased, Part


def select_days() -> Select[ColdDay]:
    """Every day that is or was written."""
    return Select(
        "SELECT day, source, reading_count, file_bytes, sha256, extra_count, erasure_number, is_local, exported_at,"
        " uploaded_sha256, uploaded_to, uploaded_at, upload_id, upload_sha256, upload_to, former FROM cold_day"
        " WHERE tenant_id = ?",
        (DEFAULT_TENANT,),
        _day,
    )


def select_erased() -> Select[Erased]:
    """Every erasing that was ever asked for, of every tenant."""
    return Select(
        "SELECT tenant_id, erasure_number, device_id, done_at IS NOT NULL FROM erasure",
        (),
        lambda tenant_id, number, device_id, is_done: Erased(number, tenant_id, device_id, bool(is_done)),
    )


def select_parts(day: int) -> Select[Part]:
    """The parts of a day's upload that have arrived."""
    return Select(
        "SELECT part_number, tag FROM cold_part WHERE tenant_id = ? AND day = ? ORDER BY part_number",
        (DEFAULT_TENANT, day),
        Part,
    )


def put_day(connection: sqlite3.Connection, known: ColdDay) -> None:
    """Write down what is known of a day; the parts of an upload that is none any more are forgotten."""
    connection.execute(
        "INSERT INTO cold_day (tenant_id, day, source, reading_count, file_bytes, sha256, extra_count, erasure_number,"
        " is_local, exported_at, uploaded_sha256, uploaded_to, uploaded_at, upload_id, upload_sha256, upload_to,"
        " former)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, day) DO UPDATE SET"
        " source = excluded.source, reading_count = excluded.reading_count, file_bytes = excluded.file_bytes,"
        " sha256 = excluded.sha256, extra_count = excluded.extra_count, erasure_number = excluded.erasure_number,"
        " is_local = excluded.is_local, exported_at = excluded.exported_at,"
        " uploaded_sha256 = excluded.uploaded_sha256, uploaded_to = excluded.uploaded_to,"
        " uploaded_at = excluded.uploaded_at, upload_id = excluded.upload_id,"
        " upload_sha256 = excluded.upload_sha256, upload_to = excluded.upload_to, former = excluded.former",
        (
            DEFAULT_TENANT,
            known.day,
            known.source,
            known.reading_count,
            known.file_bytes,
            known.sha256,
            known.extra_count,
            known.erasure_number,
            int(known.is_local),
            known.exported_at,
            known.uploaded_sha256,
            known.uploaded_to,
            known.uploaded_at,
            known.upload_id,
            known.upload_sha256,
            known.upload_to,
            known.former,
        ),
    )
    if not known.upload_id:
        connection.execute("DELETE FROM cold_part WHERE tenant_id = ? AND day = ?", (DEFAULT_TENANT, known.day))


def raise_erasures(connection: sqlite3.Connection, erasure_number: int) -> None:
    """Let no number of an erasing up to this one be given again: files may know more than a restored gateway.db."""
    raised = connection.execute(
        "UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = 'erasure'", (erasure_number,)
    )
    if not raised.rowcount:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('erasure', ?)", (erasure_number,))


def insert_part(connection: sqlite3.Connection, day: int, part: Part) -> None:
    """Write down that a part has arrived."""
    connection.execute(
        "INSERT OR REPLACE INTO cold_part (tenant_id, day, part_number, tag) VALUES (?, ?, ?, ?)",
        (DEFAULT_TENANT, day, part.number, part.tag),
    )


def delete_day(connection: sqlite3.Connection, day: int) -> None:
    """Forget a day."""
    connection.execute("DELETE FROM cold_part WHERE tenant_id = ? AND day = ?", (DEFAULT_TENANT, day))
    connection.execute("DELETE FROM cold_day WHERE tenant_id = ? AND day = ?", (DEFAULT_TENANT, day))


def _day(*row: Any) -> ColdDay:
    fields = dict(zip(ColdDay.__struct_fields__, row, strict=True))
    return ColdDay(**{**fields, "is_local": bool(fields["is_local"])})
