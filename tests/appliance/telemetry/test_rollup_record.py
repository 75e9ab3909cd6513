"""Roll-ups come back exactly, and no damage stays unseen."""

import contextlib
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollup_record import RollUp
from tests.appliance.telemetry.reports import texts

floats = st.floats(allow_nan=False)
moments = st.integers(-(2**62), 2**62)
bins = st.builds(Bin, st.integers(1, 2**32 - 1), floats, floats, floats, floats, moments, floats, moments, floats)
rollups = st.builds(
    RollUp, st.dictionaries(texts, bins, max_size=9), st.dictionaries(texts, st.integers(1, 2**40), max_size=3)
)


@given(rollups)
def test_what_was_encoded_comes_back_exactly(rollup: RollUp) -> None:
    assert repr(rollup_record.decode(rollup_record.encode(rollup))) == repr(rollup)


@given(st.lists(rollups, max_size=6), st.sets(texts, max_size=3), st.integers(0, 2**9 - 1))
def test_some_metrics_are_those_of_all(found: list[RollUp], others: set[str], chosen: int) -> None:
    names = dict.fromkeys(name for rollup in found for name in rollup.bins)
    metrics = others | {name for place, name in enumerate(names) if chosen >> place & 1}
    taker = rollup_record.Taker(metrics)
    expected: dict[tuple[str, str], dict[int, Bin]] = {}
    # Twice: what was learnt of the names of one roll-up serves the others.
    for at, rollup in enumerate([*found, *found]):
        device = "ab"[at % 5 == 0]
        assert not taker.take([(device, at, rollup_record.encode(rollup))], 1)
        for name, each in rollup.bins.items():
            if name in metrics:
                expected.setdefault((device, name), {})[at] = each
    taken: dict[tuple[str, str], dict[int, Bin]] = {}
    for device, metric, bins in taker.taken():
        taken.setdefault((device, metric), {}).update(bins)
    assert repr(taken) == repr({key: expected[key] for key in taken})
    assert taken.keys() == expected.keys()


@given(st.integers(1, 4), st.integers(1, 4), st.sets(st.integers(0, 15), max_size=2), rollups, rollups)
def test_many_devices_are_taken_as_each_is_alone(
    device_count: int, hour_count: int, missing: set[int], usual: RollUp, other: RollUp
) -> None:
    places = [(f"d{device}", hour) for hour in range(hour_count) for device in range(device_count)]
    records = [
        (device, hour, rollup_record.encode(other if hour == 2 else usual))
        for place, (device, hour) in enumerate(places)
        if place not in missing
    ]
    together, alone = (rollup_record.Taker([*usual.bins, *other.bins]) for _ in range(2))
    assert not together.take(records, 3_600)
    for record in sorted(records):
        assert not alone.take([record], 3_600)
    taken: list[dict[tuple[str, str], dict[int, Bin]]] = [{}, {}]
    for found, taker in zip(taken, (together, alone), strict=True):
        for device_id, metric, bins in taker.taken():
            found.setdefault((device_id, metric), {}).update(bins)
    assert repr(dict(sorted(taken[0].items()))) == repr(dict(sorted(taken[1].items())))


@given(rollups, st.data())
def test_damage_is_always_found(rollup: RollUp, data: st.DataObject) -> None:
    record = rollup_record.encode(rollup)
    place = data.draw(st.integers(0, len(record) - 1))
    flipped = bytes((record[place] ^ data.draw(st.integers(1, 255)),))
    cut = data.draw(st.integers(0, len(record) - 1))
    for damaged in (record[:place] + flipped + record[place + 1 :], record[:cut], record + b"\0"):
        with pytest.raises(ChunkError):
            rollup_record.decode(damaged)
        taker = rollup_record.Taker(rollup.bins)
        assert taker.take([("a", 0, record), ("a", 1, damaged), ("b", 2, damaged), ("a", 3, record)], 5) == [
            ("a", 1),
            ("b", 2),
        ]
        taken: dict[str, list[int]] = {}
        for device, metric, bins in taker.taken():
            assert device == "a"
            taken.setdefault(metric, []).extend(bins)
        assert taken == {metric: [0, 15] for metric in rollup.bins}


@given(st.binary(max_size=120))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    for record in (body, rollup_record._CHECK.pack(1, zlib.crc32(body)) + body):
        with contextlib.suppress(ChunkError):
            rollup_record.decode(record)
        with contextlib.suppress(ChunkError):
            rollup_record.Taker(["a"]).take([("a", 0, record)], 1)


def test_the_count_is_of_numbers_and_others() -> None:
    each = Bin(3, 0.0, 1.0, 2.0, 0.5, 0, 0.0, 9, 1.0)
    assert RollUp({"a": each, "b": each}, {"a": 4}).reading_count == 10


def test_the_bytes_are_those_that_the_reference_describes() -> None:
    names = b"\x01a\x02bc"
    body = struct.pack("<I4dqdqd", 2, 1.0, 3.0, 4.0, 2.0, 1_000, 1.0, 2_000, 3.0)
    other = struct.pack("<I4dqdqd", 1, 5.0, 5.0, 5.0, 0.0, 1_500, 5.0, 1_500, 5.0)
    checked = struct.pack("<I", len(names)) + names + body + other + b"\x01\x01s\x07"
    record = struct.pack("<BI", 1, zlib.crc32(checked)) + checked
    rollup = RollUp(
        {
            "a": Bin(2, 1.0, 3.0, 4.0, 2.0, 1_000, 1.0, 2_000, 3.0),
            "bc": Bin(1, 5.0, 5.0, 5.0, 0.0, 1_500, 5.0, 1_500, 5.0),
        },
        {"s": 7},
    )
    assert rollup_record.decode(record) == rollup
    assert rollup_record.encode(rollup) == record


@given(st.integers(1, 70), rollups, st.integers(1, 24))
def test_bins_of_many_devices_are_taken_as_those_of_each(device_count: int, rollup: RollUp, hour_count: int) -> None:
    pieces = rollup_record.pieces_of(rollup_record.encode(rollup))
    if not pieces.names:
        return
    at = list(range(hour_count))
    devices = [f"d{number}" for number in range(device_count)]
    together, alone = (rollup_record.Taker(rollup.bins) for _ in range(2))
    together.take_many(devices, pieces.names, at, [pieces.bins * hour_count] * device_count)
    for device in devices:
        alone.take_bins(device, pieces.names, at, pieces.bins * hour_count)
    found = [
        repr([(device, metric, dict(bins)) for device, metric, bins in taker.taken()]) for taker in (together, alone)
    ]
    assert found[0] == found[1]
    assert found[0].count("'d0'") == len(rollup.bins)
