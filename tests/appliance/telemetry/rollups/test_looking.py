"""Headers tell enough of chunks that reach only into hours that are left for later."""

from collections.abc import Collection, Iterator

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry import chunk
from appliance.telemetry.model import Report
from appliance.telemetry.open_chunks import hours_of
from appliance.telemetry.rollups import computing
from appliance.telemetry.rollups.looking import Looking
from appliance.telemetry.rollups.model import Found
from appliance.telemetry.rollups.stale import HOURS_PER_DAY, Device
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import DAY, NOON, report, reports

FIRST = DAY * HOURS_PER_DAY
NOON_HOUR = NOON // HOUR_MS
A = (1, "a")

days_reports = st.lists(
    reports(st.just("a"), st.integers(DAY * DAY_MS, DAY * DAY_MS + 5 * HOUR_MS - 1)), min_size=1, max_size=4
)
hours = st.sets(st.integers(FIRST, FIRST + 5))


class Files:
    """The chunks of one device, and what was asked for of them."""

    def __init__(self, chunks: list[list[Report]]) -> None:
        self.parts = [Rows.of(found, log_id) for log_id, found in enumerate(chunks, 1)]
        self.asked: list[int] = []

    def headers(self) -> list[tuple[Device, list[chunk.Header], bool]]:
        return [(A, [chunk.header(chunk.encode(part)) for part in self.parts], True)]

    def parts_of(self, due: Collection[Device], first: int) -> Iterator[tuple[Device, list[Rows], bool]]:
        self.asked.append(first)
        for device in due:
            yield device, [part for part in self.parts if max(part.at) >= first], True


@given(st.lists(days_reports, min_size=1, max_size=4), st.integers(0, 5), hours, st.integers(FIRST, FIRST + 6))
def test_it_is_found_what_a_look_at_everything_finds(
    chunks: list[list[Report]], known: int, held: set[int], open_from: int
) -> None:
    files = Files(chunks)
    [found] = Looking(known, {A: held}, open_from).found(files.headers(), files.parts_of)
    newer = [part for part in files.parts if part.last_log_id > known]
    reached = hours_of(newer)
    left = {hour for hour in reached if hour >= open_from or hour in held}
    rows = computing.hour_rows(A, files.parts, reached - left, is_certain=True)
    assert (found.device, sorted(found.rows), found.log_id) == (
        A,
        sorted(rows),
        min((part.last_log_id for part in newer), default=0),
    )
    if files.asked:
        assert found.left == left
        return
    # Those between the first and the last report of a chunk count too.
    assert left <= found.left
    assert all(hour >= open_from or hour in held for hour in found.left)


def test_chunks_that_reach_only_into_what_is_left_are_not_unpacked() -> None:
    files = Files([[report("a", NOON)], [report("a", NOON + HOUR_MS)], [report("a", NOON + 2 * HOUR_MS)]])
    known = Looking(1, {A: {NOON_HOUR + 1}}, NOON_HOUR + 2)
    assert known.found(files.headers(), files.parts_of) == [Found(A, [], {NOON_HOUR + 1, NOON_HOUR + 2}, 2)]
    assert files.asked == []


def test_what_lies_before_all_that_is_due_is_not_unpacked() -> None:
    files = Files([[report("a", NOON)], [report("a", NOON + HOUR_MS)], [report("a", NOON + 2 * HOUR_MS)]])
    [found] = Looking(1, {A: ()}, NOON_HOUR + 2).found(files.headers(), files.parts_of)
    assert [(each.hour, each.reading_count) for each in found.rows] == [(NOON_HOUR + 1, len(report().values))]
    assert (found.left, found.log_id) == ({NOON_HOUR + 2}, 2)
    assert files.asked == [NOON + HOUR_MS]
