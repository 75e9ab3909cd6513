"""To look at some metrics of a chunk shows what is there when it is unpacked whole."""

import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import chunk
from appliance.telemetry.column import MISSING
from appliance.telemetry.glance import Glance
from appliance.telemetry.model import Report
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import exact, report, reports

many = st.lists(reports(devices=st.just("sensor-001")), min_size=1, max_size=12)


@given(many, st.sets(st.sampled_from(["pressure", "battery", "unknown"])))
def test_a_glance_shows_what_the_whole_has(given_reports: list[Report], metrics: set[str]) -> None:
    rows = Rows.of(given_reports, 7)
    blob = chunk.encode(rows)
    seen, whole = Glance(blob, metrics), chunk.decode(blob)
    assert (seen.tenant_id, seen.device_id, seen.last_log_id) == (1, "sensor-001", 7)
    assert list(seen.at) == list(whole.at)
    assert list(seen.time_sources.expanded(rows.count)) == [each.time_source for each in given_reports]
    # It may not know, but what it says is so.
    assert not seen.is_rising or all(one < other for one, other in pairwise(seen.at))
    assert list(seen.columns) == [metric for metric in whole.columns if metric in metrics]
    for metric, column in seen.columns.items():
        assert list(map(repr, column.cells)) == list(map(repr, whole.columns[metric].cells))
        # A column that says its kind has a value in every row.
        assert column.kind is None or MISSING not in column.cells
    assert list(map(exact, seen.whole().reports())) == list(map(exact, given_reports))


@pytest.mark.parametrize(
    ("moments", "is_rising"), [((1, 5, 9, 20), True), ((1, 5, 5, 20), False), ((1, 9, 5, 20), False)]
)
def test_moments_that_rise_are_known_to(moments: tuple[int, ...], is_rising: bool) -> None:
    blob = chunk.encode(Rows.of([report(at=at) for at in moments], 1))
    assert Glance(blob, ()).is_rising is is_rising


def test_columns_of_numbers_of_one_kind_say_so() -> None:
    blob = chunk.encode(Rows.of([report(at=at, values={"a": at / 7, "b": at, "c": at / 4}) for at in range(9)], 1))
    kinds = {metric: column.kind for metric, column in Glance(blob, "abc").columns.items()}
    assert kinds == {"a": float, "b": int, "c": float}


@given(many, st.data())
def test_damage_is_always_found(given_reports: list[Report], data: st.DataObject) -> None:
    blob = chunk.encode(Rows.of(given_reports, 1))
    place = data.draw(st.integers(0, len(blob) - 1))
    flipped = bytes((blob[place] ^ data.draw(st.integers(1, 255)),))
    for damaged in (blob[:place] + flipped + blob[place + 1 :], blob[:place]):
        with pytest.raises(ChunkError):
            Glance(damaged, ["pressure"])


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    checked = b"\x01\0\0\0" + bytes(24) + zlib.compress(b"\2\1a" + body)
    for blob in (body, chunk._CHECK.pack(1, zlib.crc32(checked)) + checked):
        try:
            Glance(blob, ["a"])
        except ChunkError:
            continue
