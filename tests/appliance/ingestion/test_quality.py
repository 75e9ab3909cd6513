from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.quality import TAKEN_AT_ONCE, Observation, Observed, QualityBook, plainly
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.sheaf import Sheaf
from tests.appliance.ingestion.deciding import sheaves_of
from tests.appliance.ingestion.examples import NOW


def observed(number: int | None, place: int = 0, device_id: str = "pump", **told: Any) -> Observation:
    at = NOW + place
    report = Report(1, device_id, at, at + 40, TimeSource.DEVICE, "t", device_id, {"a": 1}, number)
    return Observation(report, **told)


def take(book: QualityBook, told: Sequence[Observation]) -> None:
    for one in told:
        tenant_id = one.report.tenant_id
        assert not list(book.taking(Sheaf(tenant_id), [Observed(tenant_id, 0, False, one)]))


@given(
    st.lists(
        st.builds(
            Report,
            st.integers(1, 2),
            st.sampled_from(["pump", "valve"]),
            st.integers(NOW, NOW + 9),
            st.integers(NOW, NOW + 9),
            st.sampled_from(TimeSource),
            st.just("t"),
            st.just("pump"),
            st.just({"a": 1}),
            st.none() | st.integers(0, 9),
        )
    )
)
def test_a_report_stands_for_what_it_tells_itself(reports: list[Report]) -> None:
    brief, long = QualityBook(), QualityBook()
    for sheaf in sheaves_of(reports):
        assert not list(brief.taking(sheaf, ()))
    take(long, [plainly(report) for report in reports])
    for tenant_id in (1, 2):
        for device_id in ("pump", "valve"):
            assert brief.quality(tenant_id, device_id) == long.quality(tenant_id, device_id)


def test_very_much_is_taken_piece_by_piece() -> None:
    sheaf = Sheaf(1, [observed(number, number).report for number in range(2 * TAKEN_AT_ONCE)])
    repeated = [Observed(1, TAKEN_AT_ONCE // 2, False, observed(0, is_duplicate=True))] * (2 * TAKEN_AT_ONCE)
    book, pieces = QualityBook(), 0
    for _ in book.taking(sheaf, repeated):
        pieces += 1
        found = book.quality(1, "pump")
        assert found is not None
        assert found.report_count <= pieces * TAKEN_AT_ONCE
    found = book.quality(1, "pump")
    assert found is not None
    assert (found.report_count, found.duplicate_reports) == (4 * TAKEN_AT_ONCE, 2 * TAKEN_AT_ONCE)
    assert pieces == 4


def test_counts_are_those_of_the_device_since_it_was_first_heard_of() -> None:
    book = QualityBook()
    assert book.quality(1, "pump") is None
    take(book, [observed(0, behind_ms=40), observed(3, 3, behind_ms=60, rejected_count=2)])
    take(book, [observed(2, 2, flagged_count=1), observed(3, 3, is_duplicate=True), observed(9, 9, "valve")])
    found = book.quality(1, "pump")
    assert found is not None
    assert (found.since, found.report_count, found.duplicate_reports) == (NOW + 40, 4, 1)
    assert (found.rejected_readings, found.flagged_readings) == (2, 1)
    assert (found.clock_behind_ms, found.clock_sample_count) == (40, 2)
    assert found.numbering is not None
    assert msgspec.structs.asdict(found.numbering) == {
        "highest": 3,
        "gaps": 1,
        "missing": 1,
        "late": 1,
        "duplicates": 1,
        "restarts": 0,
        "last_gap_at": NOW + 43,
    }
    assert book.quality(2, "pump") is None


def test_a_device_may_send_neither_numbers_nor_the_time() -> None:
    book = QualityBook()
    take(book, [observed(None)])
    found = book.quality(1, "pump")
    assert found is not None
    assert (found.numbering, found.clock_behind_ms, found.clock_sample_count) == (None, None, 0)


def test_units_that_are_declared_are_heard() -> None:
    book = QualityBook()
    take(book, [observed(None, units={"flow": "l/s"}), observed(None, units={"flow": "l/min"})])
    assert book.declared.of(1, "pump") == {"flow": "l/min"}


def test_no_number_of_devices_takes_more_than_its_room() -> None:
    book = QualityBook(devices_limit=3)
    take(book, [observed(0, device_id=f"d{number}") for number in range(5)])
    assert [book.quality(1, f"d{number}") is not None for number in range(5)] == [False, False, True, True, True]


@pytest.mark.parametrize("source", [TimeSource.ARRIVAL_NO_CLOCK, TimeSource.DEVICE])
def test_a_later_moment_tells_a_restart_only_where_there_is_a_clock(source: TimeSource) -> None:
    book = QualityBook()
    for place, number in enumerate([5, 6, 7, 5]):
        told = observed(number, place)
        report = msgspec.structs.replace(told.report, time_source=source)
        take(book, [msgspec.structs.replace(told, report=report)])
    found = book.quality(1, "pump")
    assert found is not None
    assert found.numbering is not None
    expected = (1, 0) if source is TimeSource.DEVICE else (0, 1)
    assert (found.numbering.restarts, found.numbering.duplicates) == expected
