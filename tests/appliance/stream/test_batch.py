"""However a log is cut into batches, each report is in exactly one of them, in order."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.batch import BATCH_BYTES, cut, first_index, size_of
from appliance.stream.model import LogRecord, Position
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import report

shapes = st.lists(st.integers(0, 9), max_size=12)


def records_of(counts: list[int]) -> list[LogRecord]:
    return [
        LogRecord(2 * number, [report("abc"[each % 3], values={"n": each}) for each in range(count)])
        for number, count in enumerate(counts, 1)
    ]


def kept(_report: Report, _log_id: int) -> bool:
    return False


@given(shapes, st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_batches_are_the_log_and_count_what_is_in_them(counts: list[int], sizes: list[int]) -> None:
    records = records_of(counts)
    everything = [each for record in records for each in record.reports]
    position, found, turn = Position(1), [], 0
    while True:
        left = [record for record in records if record.log_id >= position.log_id]
        batch = cut(position, left, EVERYTHING, kept, sizes[turn % len(sizes)])
        assert len(batch.reports) <= sizes[turn % len(sizes)]
        assert sum(count for _, count in batch.counts) == len(batch.reports)
        if batch.is_empty:
            break
        for report_taken, place in batch.reports:
            found.append(report_taken)
            # From every report on one can go on.
            rest = [record for record in records if record.log_id >= place.log_id]
            after = cut(place, rest, EVERYTHING, kept, 1_000)
            assert [each.report for each in after.reports] == everything[len(found) :]
        position, turn = batch.end, turn + 1
    assert found == everything


def test_what_is_not_wanted_counts_and_is_passed_over() -> None:
    batch = cut(Position(1), records_of([3, 3]), Wanted(frozenset({"a"})), kept, 4)
    assert [each.report.device_id for each in batch.reports] == ["a", "a"]
    assert batch.counts == ((2, 3), (4, 1))
    assert batch.end == Position(4, 2)


def test_what_is_erased_is_given_to_nobody() -> None:
    batch = cut(Position(1), records_of([3]), EVERYTHING, lambda each, log_id: each.device_id == "b", 9)
    assert [each.report.device_id for each in batch.reports] == ["a", "c"]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_nothing_is_missed_when_reports_are_erased_from_a_record_that_is_half_read(
    count: int, taken: int, data: st.DataObject
) -> None:
    reports = [report(values={"n": each}) for each in range(count)]
    left = max(1, count - taken)
    stay = [each for each in reports if data.draw(st.booleans())]
    first = first_index(Position(7, left), LogRecord(7, stay))
    assert [each for each in reports[count - left :] if each in stay] == [
        each for each in stay[first:] if each in reports[count - left :]
    ]


def test_a_batch_takes_no_more_memory_than_it_may_but_for_its_first_report() -> None:
    large = report(values={"text": "x" * (BATCH_BYTES // 2)})
    huge = report(values={"text": "x" * (2 * BATCH_BYTES)})
    batch = cut(Position(1), [LogRecord(1, [huge, large, large, large])], EVERYTHING, kept, 9)
    assert [size_of(each.report) for each in batch.reports] == [size_of(huge)]
    batch = cut(batch.end, [LogRecord(1, [huge, large, large, large])], EVERYTHING, kept, 9)
    assert len(batch.reports) == 1
