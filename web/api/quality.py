"""`/v1/devices/{device_id}/quality`: how well a device reports."""

import msgspec
from litestar import Request, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.accounts.model import User
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import Caller


class SequenceOut(msgspec.Struct, frozen=True):
    """What the sequence numbers of a device told."""

    highest: int
    gaps: int
    missing: int
    late: int
    duplicates: int
    restarts: int
    last_gap_at: str | None


class QualityOut(msgspec.Struct, frozen=True):
    """Counts since `since`, the first report after the gateway started; null where nothing came since."""

    device_id: str
    since: str | None
    report_count: int
    duplicate_reports: int
    rejected_readings: int
    flagged_readings: int
    clock_behind_ms: int | None
    clock_sample_count: int
    sequence: SequenceOut | None


@get("/v1/devices/{device_id:str}/quality", tags=["telemetry"], summary="How well a device reports")
async def get_quality(
    device_id: FromPath[str], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> QualityOut:
    """Gaps and repetitions in its sequence numbers, how far its clock is off, and what its type did not allow."""
    tenant_id = request.user.tenant_id
    device = gateway.registry.device(tenant_id, device_id)
    found = gateway.ingestion.quality.quality(tenant_id, device.device_id)
    if found is None:
        return QualityOut(device.device_id, None, 0, 0, 0, 0, None, 0, None)
    numbers = found.numbering
    return QualityOut(
        device_id=device.device_id,
        since=to_text(found.since),
        report_count=found.report_count,
        duplicate_reports=found.duplicate_reports,
        rejected_readings=found.rejected_readings,
        flagged_readings=found.flagged_readings,
        clock_behind_ms=found.clock_behind_ms,
        clock_sample_count=found.clock_sample_count,
        sequence=None
        if numbers is None
        else SequenceOut(
            highest=numbers.highest,
            gaps=numbers.gaps,
            missing=numbers.missing,
            late=numbers.late,
            duplicates=numbers.duplicates,
            restarts=numbers.restarts,
            last_gap_at=None if numbers.last_gap_at is None else to_text(numbers.last_gap_at),
        ),
    )


HANDLERS = (get_quality,)
