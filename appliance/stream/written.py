"""Reports and gaps as scripts are given them."""

import msgspec

from appliance.instant import to_text
from appliance.stream.model import Gap
from appliance.stream.position import printed
from appliance.telemetry.model import Report, Value


class ReportOut(msgspec.Struct, frozen=True):
    """A report as it was understood. Numbers that JSON has no word for are null."""

    device_id: str
    at: str
    arrived_at: str
    time_source: str
    topic: str
    client_id: str
    sequence: int | None
    values: dict[str, Value]


class GapOut(msgspec.Struct, frozen=True):
    """Reports that are missing: everything of the log from one place on, up to and with a record."""

    from_position: str = msgspec.field(name="from")
    through: str
    report_count: int | None
    """Null when nobody knows."""
    until_at: str
    """When the last of them was written down: what arrived before can be replayed."""
    why: str


def report_out(report: Report) -> ReportOut:
    """A report."""
    return ReportOut(
        device_id=report.device_id,
        at=to_text(report.at),
        arrived_at=to_text(report.arrived_at),
        time_source=report.time_source.name.lower(),
        topic=report.topic,
        client_id=report.client_id,
        sequence=report.sequence,
        values=dict(report.values),
    )


def gap_out(gap: Gap) -> GapOut:
    """What is missing."""
    return GapOut(printed(gap.start), str(gap.through_log_id), gap.report_count, to_text(gap.until_at), gap.why)


def as_json(about: object) -> bytes:
    """JSON in one line. Text that is no Unicode, as devices may send it, has ? in the place of what is none."""
    try:
        return msgspec.json.encode(about)
    except UnicodeEncodeError:
        return msgspec.json.encode(_mended(msgspec.to_builtins(about)))


def _mended(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case dict():
            return {_mended(key): _mended(each) for key, each in value.items()}
        case list():
            return [_mended(each) for each in value]
        case _:
            return value
