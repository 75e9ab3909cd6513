"""The newest values of a device lie in its last chunk, or in a record, and are the same out of both."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import chunk, latest_record, log_record
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import NOON, report, reports


@given(st.integers(0, (1 << 63) - 1))
def test_a_chunk_is_named_by_its_key(chunk_id: int) -> None:
    assert latest_record.chunk_of(latest_record.in_chunk(chunk_id)) == chunk_id


@given(st.lists(reports(st.just("a")), max_size=3))
def test_a_record_is_told_from_a_chunk_and_says_the_same(found: list[object]) -> None:
    record = log_record.encode(found)  # type: ignore[arg-type]
    assert latest_record.chunk_of(record) is None
    assert latest_record.as_record(record, 1) is record
    assert repr(latest_record.reports_of(record, 1)) == repr(found)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5))
def test_out_of_a_chunk_its_last_report_is_given(moments: list[int]) -> None:
    all_reports = [report("a", NOON + at, values={"pressure": row}) for row, at in enumerate(moments)]
    latest = latest_record.with_chunk(chunk.encode(Rows.of(all_reports, 3)))
    assert latest_record.chunk_of(latest) is None
    assert latest_record.reports_of(latest, 1) == all_reports[-1:]
    assert log_record.decode(latest_record.as_record(latest, 1), 1) == all_reports[-1:]


def test_a_key_gives_way_to_its_chunk_where_that_is_found() -> None:
    assert latest_record.filled(b"record", lambda _: None) == b"record"
    assert latest_record.filled(latest_record.in_chunk(7), {7: b"chunk"}.get) == latest_record.with_chunk(b"chunk")
    for found in ({}, {7: None}, {7: "text"}):
        assert latest_record.filled(latest_record.in_chunk(7), found.get) == b""
    # No file has such a key: it was damaged.
    assert latest_record.filled(b"\x02" + b"\xff" * 8, lambda _: b"chunk") == b""


def test_what_was_damaged_is_told_and_says_nothing() -> None:
    blob = chunk.encode(Rows.of([report()], 3))
    for bad in (b"", latest_record.in_chunk(7), latest_record.with_chunk(blob[:-1] + b"x")):
        with pytest.raises(ChunkError):
            latest_record.reports_of(bad, 1)
    assert log_record.decode(latest_record.as_record(latest_record.with_chunk(blob[:-1]), 1), 1) == []


def test_a_chunk_says_how_far_it_has_the_log_and_a_record_does_not() -> None:
    blob = latest_record.with_chunk(chunk.encode(Rows.of([report()], 3)))
    assert latest_record.last_log_id(blob) == 3
    assert latest_record.last_log_id(blob[:-1] + b"x") == latest_record.last_log_id(b"") == 0
    assert latest_record.last_log_id(log_record.encode([report()])) is None


def test_a_report_is_the_last_one_only_where_it_stands_last_and_nothing_is_later() -> None:
    last = report(at=NOON + 5, sequence=7)
    assert latest_record.is_last(last, Rows.of([report(), last], 1))
    assert not latest_record.is_last(last, Rows.of([last, report()], 1))
    assert not latest_record.is_last(last, Rows.of([report(at=NOON + 9), last], 1))
    # At equal moments the first that came is the newest.
    assert not latest_record.is_last(last, Rows.of([last, last], 1))
    assert not latest_record.is_last(last, Rows.of([report(values={"state": "on"}), last], 1))


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 8},
        {"arrived_at": NOON + 99},
        {"topic": "other"},
        {"client_id": "other"},
        {"values": {"pressure": 45.3, "battery": 85}},
        {"values": {"pressure": 45.2}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_report_of_the_same_moment_is_not_it(change: dict[str, Any]) -> None:
    assert not latest_record.is_last(report(sequence=7), Rows.of([report(**{"sequence": 7} | change)], 1))
