"""What lies side by side is found as if it had been filed at once, whenever anybody looks."""

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.row_shape import shape_of
from appliance.telemetry.sheaf import Group, Sheaf
from appliance.telemetry.strip import STRIP_ROWS
from tests.appliance.telemetry.reports import DAY, NOON, exact, report

WIDE = tuple(f"m{number}" for number in range(12))
looks = st.sampled_from(["", "", "", "series", "latest", "told", "moment", "identity", "seal", "forget"])
alike = st.builds(
    lambda names, value, source, client, sequence, arrived_at: (
        names,
        value,
        {"time_source": source, "client_id": client, "sequence": sequence, "arrived_at": arrived_at},
    ),
    # Most are alike, or there would be nothing that lies side by side.
    st.sampled_from([*[("a", "b")] * 9, ("b", "a"), ("a",), WIDE, WIDE, ()]),
    st.sampled_from([*[0.5] * 9, -0.0, float("nan"), 7, True, True, None, "text", 2**70]),
    st.sampled_from([*[TimeSource.DEVICE] * 5, TimeSource.ARRIVAL_NO_CLOCK]),
    st.sampled_from([*["sensor-001"] * 5, "other"]),
    st.sampled_from([*range(5), None, 2**63]),
    st.integers(NOON, NOON + 9),
)
written = st.lists(
    st.tuples(alike, st.sampled_from([1, 1, 1, 0, -3, DAY_MS]), st.integers(1, 2 * STRIP_ROWS + 2), looks), max_size=5
)


def reports_of(told: list[tuple[Any, int, int, str]]) -> list[tuple[Report, str]]:
    """Reports, and where somebody looks after one."""
    at, found = NOON, []
    for (names, value, rest), step, times, look in told:
        for place in range(times):
            at += step if place == 0 else 1
            values: dict[str, Any] = dict.fromkeys(names, value) | ({"b": place} if "b" in names else {})
            found.append((report(at=at, values=values, **rest), look if place == times // 2 else ""))
    return found


def told_of(name: str, held: Any, last_seen_at: int | None) -> bytes:
    """All that is known of a device, as somebody is told it."""
    return repr((name, sorted((metric, exact(one)) for metric, one in held.items()), last_seen_at)).encode()


def series(parts: Any) -> list[Any]:
    """All that parts hold."""
    return [
        (
            [exact(each) for each in part.reports()],
            {name: column.kind for name, column in part.columns.items()},
            part.first_log_id,
            part.last_log_id,
        )
        for part in parts
    ]


def looked_at(chunks: OpenChunks, look: str, at: int) -> Any:
    """What somebody finds."""
    newest = chunks.newest(1, "sensor-001")
    found: Any = chunks.report_count, chunks.is_pressing
    if newest is None:
        return found
    match look:
        case "series":
            found = series(chunks.copied_parts(1, "sensor-001", 0, 1 << 45))
        case "latest":
            found = repr(sorted(newest.latest().items())), newest.at, newest.last_seen_at, newest.metrics()
        case "told":
            found = newest.told("x", told_of)
        case "moment":
            found = [newest.moment_of(metric) for metric in ("a", "b", "m1")]
        case "identity":
            found = [chunks.identities_at(1, "sensor-001", at + step) for step in (-2, -1, 0, 1)]
        case "seal":
            chunks.begin_sealing_all()
            found = [(series(chunk.parts), chunk.closed and exact(chunk.closed.report)) for chunk in chunks.sealing]
        case "forget":
            chunks.forget(1, "sensor-001")
        case _:
            pass
    return found


def weights(chunks: OpenChunks) -> list[int]:
    """What each open chunk weighs."""
    return [chunk.weight for chunk in chunks.device(1, "sensor-001").open.values()]


@settings(max_examples=200, deadline=None)
@given(written, st.sampled_from([5, STRIP_ROWS, 2 * STRIP_ROWS, 10_000]), st.booleans())
@example([((("a", "b"), 0.5, {}), 1, STRIP_ROWS - 1, ""), (((), 0.5, {}), 1, 1, "series")], 10_000, False)
def test_whoever_looks_finds_what_would_be_there_had_each_been_filed_at_once(
    told: list[tuple[Any, int, int, str]], part_reports: int, as_sheaf: bool
) -> None:
    config = TelemetryConfig(seal_after_reports=part_reports)
    chunks, filed = OpenChunks(config), OpenChunks(config)
    for log_id, (each, look) in enumerate(reports_of(told), 1):
        chunks.absorb(Sheaf(1, [each]) if as_sheaf else [each], log_id, NOON)
        filed.absorb([each], log_id, NOON)
        filed.device(1, "sensor-001").newest.strip.end()
        assert weights(chunks) == weights(filed)
        assert looked_at(chunks, look, each.at) == looked_at(filed, look, each.at)
    for look in ("identity", "latest", "moment", "told", "series", "seal"):
        assert looked_at(chunks, look, NOON) == looked_at(filed, look, NOON)


def test_a_shape_that_was_made_anew_is_still_the_same() -> None:
    chunks = OpenChunks(TelemetryConfig())
    first = Sheaf(1, [report(at=NOON + place) for place in range(2)])
    shape_of.cache_clear()
    chunks.absorb(Sheaf(1, [report()]), 1, NOON)
    strip = chunks.device(1, "sensor-001").newest.strip
    chunks.absorb(first[1:], 2, NOON)
    again = Sheaf(1)
    again.extend(first)
    for place, (row, at) in enumerate(zip(again.rows(), again.at(), strict=True), 2):
        group = again.groups[0]
        assert isinstance(group, Group)
        assert isinstance(row, bytes)
        assert group.shape is not strip.shape
        taken = (group.shape, row, at + place, again.topics[0], again.client_ids[0], TimeSource.DEVICE, place)
        assert strip.take_packed(*taken)
    assert strip.count == 3


def test_nothing_is_filed_until_there_are_enough_or_somebody_looks() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(at=NOON + place) for place in range(STRIP_ROWS)], 1, NOON)
    rows = chunks.device(1, "sensor-001").open[DAY].rows
    assert rows.count == 1
    chunks.absorb([report(at=NOON + STRIP_ROWS)], 2, NOON)
    assert (rows.count, rows.last_log_id) == (1 + STRIP_ROWS, 2)
    chunks.absorb([report(at=NOON + STRIP_ROWS + 1)], 3, NOON)
    assert chunks.latest_of_all(1)["sensor-001"]["battery"].at == NOON + STRIP_ROWS + 1
    assert rows.count == 1 + STRIP_ROWS
    [copied] = chunks.copied_parts(1, "sensor-001", NOON, NOON + 1)
    assert (copied.count, copied.last_log_id) == (2 + STRIP_ROWS, 3)
