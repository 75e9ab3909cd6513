"""Reports for tests: examples, and every kind that can be."""

from typing import Any

from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.model import Report, TimeSource

NOON = 1_769_860_800_000
"""2026-01-31, 12:00 UTC."""

DAY = NOON // DAY_MS

texts = st.text(max_size=12)
values = st.one_of(
    st.floats(),
    st.floats(-1000, 1000).map(lambda number: round(number, 2)),
    st.integers(-(2**80), 2**80),
    st.integers(-200, 200),
    st.booleans(),
    texts,
    st.none(),
)
sequences = st.none() | st.integers(0, 2**70)


def report(device_id: str = "sensor-001", at: int = NOON, **changes: Any) -> Report:
    """A report; what a test does not say is ordinary."""
    fields: dict[str, Any] = {
        "tenant_id": 1,
        "device_id": device_id,
        "at": at,
        "arrived_at": at + 20,
        "time_source": TimeSource.DEVICE,
        "topic": f"sensors/{device_id}/telemetry",
        "client_id": device_id,
        "values": {"pressure": 45.2, "battery": 85},
    }
    return Report(**fields | changes)


def reports(
    devices: st.SearchStrategy[str] = texts, moments: st.SearchStrategy[int] | None = None
) -> st.SearchStrategy[Report]:
    """Every kind of report, of one day unless other moments are given."""
    moments = st.integers(DAY * DAY_MS, (DAY + 1) * DAY_MS - 1) if moments is None else moments
    return st.builds(
        Report,
        tenant_id=st.just(1),
        device_id=devices,
        at=moments,
        arrived_at=st.integers(0, 2**42),
        time_source=st.sampled_from(TimeSource),
        topic=texts | st.sampled_from(["sensors/sensor-001/telemetry", "sensors/a/telemetry"]),
        client_id=texts | st.just("a"),
        values=st.dictionaries(texts | st.sampled_from(["pressure", "battery"]), values, max_size=6),
        sequence=sequences,
    )


def exact(found: Report) -> tuple[Any, ...]:
    """A report as what can be compared exactly: 1 is not 1.0, 0.0 is not -0.0, NaN is NaN."""
    return tuple(
        sorted((name, repr(value)) for name, value in found.values.items())
        if field == "values"
        else getattr(found, field)
        for field in found.__struct_fields__
    )
