"""A day that is sealed anew holds what both its parts had, and nothing of what is left out."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import chunk, log_record
from appliance.telemetry.keeping import resealing, sealed_day
from appliance.telemetry.keeping.resealing import EVERYTHING, OpenChunkRow, OpenDevice, Parts, kept_devices
from appliance.telemetry.keeping.sealed_day import KeptDevice
from appliance.telemetry.model import Report
from tests.appliance.telemetry.keeping.days import piece, sealed
from tests.appliance.telemetry.reports import NOON, report

Written = list[tuple[str, int]]
"""Devices, each with the log id of a chunk of one report."""

written = st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=12, unique_by=lambda each: each[1])


class FakeOpenPart:
    """The open part of a day, in memory."""

    def __init__(self, chunks: Written, size_bytes: int = 1) -> None:
        self.size_bytes = size_bytes
        self._chunks = sorted(chunks)
        self._names = sorted({name for name, _ in chunks})
        self.reads = 0

    def devices(self) -> Sequence[OpenDevice]:
        newest = {name: max(log_id for each, log_id in self._chunks if each == name) for name in self._names}
        return [
            OpenDevice(number, 1, name, newest[name], newest[name], newest[name], latest(name, newest[name]))
            for number, name in enumerate(self._names, 1)
        ]

    def chunks(self, first: int, last: int) -> Sequence[OpenChunkRow]:
        self.reads += 1
        wanted = self._names[first - 1 : last]
        rows = []
        for name, log_id in self._chunks:
            if name in wanted:
                made = piece([at(name, log_id)], log_id)
                rows.append(OpenChunkRow(self._names.index(name) + 1, *made[:3], made.blob))
        return rows


def at(name: str, log_id: int) -> Report:
    return report(name, NOON + log_id, values={"pressure": log_id})


def latest(name: str, log_id: int) -> bytes:
    return log_record.encode([at(name, log_id)])


def kept(chunks: Written) -> list[KeptDevice]:
    found = []
    for name in sorted({name for name, _ in chunks}):
        log_ids = sorted(log_id for each, log_id in chunks if each == name)
        pieces = [piece([at(name, log_id)], log_id) for log_id in log_ids]
        found.append(KeptDevice(1, name, log_ids[-1], log_ids[-1], log_ids[-1], latest(name, log_ids[-1]), pieces))
    return found


def found_in(devices: Sequence[KeptDevice]) -> Written:
    pairs = []
    for device in devices:
        for each in device.pieces:
            rows = chunk.decode(each.blob)
            assert (rows.device_id, rows.last_log_id) == (device.device_id, each.last_log_id)
            assert (rows.count, min(rows.at), max(rows.at)) == each[:3]
            pairs += [(device.device_id, when - NOON) for when in rows.at]
    return pairs


@given(written, written, st.dictionaries(st.sampled_from("abc"), st.integers(1, 60) | st.just(EVERYTHING)))
def test_both_parts_are_in_it_and_nothing_of_what_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, before: Written, late: Written, through: dict[str, int]
) -> None:
    path = sealed(tmp_path_factory.mktemp("days"), kept(before))
    with sealed_day.opened(path) as day:
        left_out = {(1, name): log_id for name, log_id in through.items()}
        devices = list(kept_devices(Parts(FakeOpenPart(late), day), left_out, lambda: None))
    expected = sorted(pair for pair in [*before, *late] if pair[1] > through.get(pair[0], 0))
    assert sorted(found_in(devices)) == expected
    for device in devices:
        log_ids = [log_id for name, log_id in [*before, *late] if name == device.device_id]
        assert device.last_log_id == device.latest_log_id == max(log_ids)
        reports = log_record.decode(device.latest, 1)
        is_gone = device.latest_log_id <= through.get(device.device_id, 0)
        assert reports == ([] if is_gone else [at(device.device_id, max(log_ids))])
        assert [each.last_log_id for each in device.pieces] == sorted(each.last_log_id for each in device.pieces)


def test_small_chunks_become_one_and_damaged_ones_stay_as_they_are(tmp_path: Path) -> None:
    [device] = kept([("a", log_id) for log_id in range(1, 6)])
    broken = device.pieces[2]._replace(blob=b"damaged")
    path = sealed(tmp_path, [device._replace(pieces=[*device.pieces[:2], broken, *device.pieces[3:]])])
    with sealed_day.opened(path) as day:
        [whole] = kept_devices(Parts(FakeOpenPart([("a", 6)]), day), {}, lambda: None)
    assert broken in whole.pieces
    assert sorted(each.report_count for each in whole.pieces) == [1, 5]


def test_a_large_open_part_is_read_in_groups_and_each_device_breathes() -> None:
    part = FakeOpenPart([(f"d{number}", number) for number in range(1, 10)], size_bytes=3 * resealing.GROUP_BYTES)
    breaths: list[None] = []
    devices = list(kept_devices(Parts(part, None), {}, lambda: breaths.append(None)))
    assert (len(devices), len(breaths), part.reads) == (9, 9, 3)


def test_newest_values_that_were_damaged_leave_the_rest(tmp_path: Path) -> None:
    path = sealed(tmp_path, kept([("a", 1)]))
    with sealed_day.opened(path) as day:
        [entry] = day.entries()
    content = bytearray(path.read_bytes())
    content[entry.latest_offset] ^= 1
    path.write_bytes(content)
    with sealed_day.opened(path) as day:
        [device] = kept_devices(Parts(None, day), {}, lambda: None)
    assert (log_record.decode(device.latest, 1), len(device.pieces)) == ([], 1)


def test_nothing_gives_nothing() -> None:
    assert list(kept_devices(Parts(None, None), {}, lambda: None)) == []
