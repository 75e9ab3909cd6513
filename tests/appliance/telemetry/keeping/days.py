"""Sealed days for tests."""

from collections.abc import Sequence
from pathlib import Path

from appliance.telemetry import chunk, log_record
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.sealed_day import KeptDevice, Piece
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import DAY


def piece(reports: Sequence[Report], log_id: int) -> Piece:
    """Reports of one device as a chunk."""
    at = [report.at for report in reports]
    return Piece(len(reports), min(at), max(at), log_id, chunk.encode(Rows.of(reports, log_id)))


def kept(reports: Sequence[Report], log_id: int = 1) -> KeptDevice:
    """A device with one chunk."""
    first = reports[0]
    latest = log_record.encode([reports[-1]])
    return KeptDevice(first.tenant_id, first.device_id, log_id, log_id, 0, latest, [piece(reports, log_id)])


def sealed(folder: Path, devices: Sequence[KeptDevice], taken: int = 0) -> Path:
    """A sealed day in its place."""
    path = folder / "2026-01-31.sealed"
    sealed_day.settle(sealed_day.require_whole(sealed_day.write(path, DAY, taken, devices)), path)
    return path
