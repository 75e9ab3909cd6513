"""A sealed day gives back what was put into it; each of its pages may be lost without the rest."""

import random
from pathlib import Path

import pytest

from appliance.instant import MINUTE_MS
from appliance.telemetry import chunk, log_record
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.layout import PAGE_BYTES
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.days import kept, sealed
from tests.appliance.telemetry.reports import DAY, NOON, exact, report

DEVICES = ("a", "b", "c", "d")


COUNT = 900


def some(device_id: str) -> sealed_day.KeptDevice:
    # Values that do not compress, so that a small day has several pages of chunks.
    chance = random.Random(device_id)  # noqa: S311  nothing is secret here
    return kept([report(device_id, NOON + number, values={"x": chance.random()}) for number in range(COUNT)])


def whole(folder: Path) -> Path:
    return sealed(folder, [some(name) for name in DEVICES])


def readable(path: Path) -> set[str]:
    """The devices whose readings can be read."""
    found = set()
    with sealed_day.opened(path) as day:
        for device_id in DEVICES:
            entry = day.find(1, device_id)
            assert entry is not None
            try:
                assert chunk.decode(day.blob(entry.extents[0])).count == COUNT
            except ChunkError:
                continue
            found.add(device_id)
    return found


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    reports = [report(at=NOON + minute * MINUTE_MS) for minute in range(3)]
    path = sealed(tmp_path, [kept(reports, 7)], taken=9)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    with sealed_day.opened(path) as day:
        assert (day.head.day, day.taken, day.head.file_bytes) == (DAY, 9, path.stat().st_size)
        entry = day.find(1, "sensor-001")
        assert entry is not None
        assert list(day.entries()) == [entry]
        found = chunk.decode(day.blob(entry.extents[0])).reports()
        assert [exact(each) for each in found] == [exact(each) for each in reports]
        assert entry.extents[0][2:] == (3, reports[0].at, reports[-1].at, 7)
        assert log_record.decode(day.latest(entry), 1) == [reports[-1]]
        assert day.find(2, "sensor-001") is None
        assert day.damages() == []
        assert list(day.unreadable()) == []


def test_a_day_without_devices_can_be_read(tmp_path: Path) -> None:
    with sealed_day.opened(sealed(tmp_path, [])) as day:
        assert list(day.entries()) == []
        assert day.damages() == []


@pytest.mark.parametrize("place", [0, 700, PAGE_BYTES - 1])
def test_every_page_that_is_damaged_is_named_and_costs_no_other(tmp_path: Path, place: int) -> None:
    path = whole(tmp_path)
    good = path.read_bytes()
    pages = len(good) // PAGE_BYTES
    assert pages >= 8
    lost: set[str] = set()
    for page in range(pages):
        bad = bytearray(good)
        bad[page * PAGE_BYTES + place] ^= 0x55
        path.write_bytes(bad)
        with sealed_day.opened(path) as day:
            [damage] = day.damages()
            told = damage.told(path.name)
            assert told.startswith(f"{path.name} page {page} of {pages}: ")
            unreadable = {name for name in DEVICES if any(f" of {name} " in each for each in day.unreadable())}
        assert readable(path) == set(DEVICES) - unreadable
        assert all(f"{COUNT} reports of {name} from 2026-01-31T12:00:00.000Z to " in told for name in unreadable)
        assert len(unreadable) <= 2
        lost |= unreadable
    assert lost == set(DEVICES)


def test_a_page_of_zeros_is_damage_too(tmp_path: Path) -> None:
    path = whole(tmp_path)
    good = path.read_bytes()
    for page in range(len(good) // PAGE_BYTES):
        bad = bytearray(good)
        bad[page * PAGE_BYTES : (page + 1) * PAGE_BYTES] = bytes(PAGE_BYTES)
        path.write_bytes(bad)
        with sealed_day.opened(path) as day:
            assert [damage.page for damage in day.damages()] == [page]
        assert len(readable(path)) >= 2


def test_both_copies_of_the_directory_damaged_in_different_places_do_no_harm(tmp_path: Path) -> None:
    path = sealed(tmp_path, [device for number in range(200) for device in [kept([report(f"sensor-{number:05d}")])]])
    with sealed_day.opened(path) as day:
        first, second = day.head.foot_places
        entry_at = day.index.places[3]
    bad = bytearray(path.read_bytes())
    bad[first] ^= 1
    bad[second + entry_at] ^= 1
    path.write_bytes(bad)
    with sealed_day.opened(path) as day:
        pages = sorted({first // PAGE_BYTES, second // PAGE_BYTES, (second + entry_at) // PAGE_BYTES})
        assert {damage.page for damage in day.damages()} & set(pages)
        assert len(list(day.entries())) == 200


@pytest.mark.parametrize("cut", [1, PAGE_BYTES, 10**9])
def test_a_file_that_was_cut_short_is_refused_with_its_name(tmp_path: Path, cut: int) -> None:
    path = whole(tmp_path)
    path.write_bytes(path.read_bytes()[: -min(cut, path.stat().st_size)])
    with pytest.raises(ChunkError, match=r"2026-01-31\.sealed"), sealed_day.opened(path):
        pass


def test_whoever_reads_a_day_reads_on_when_it_is_replaced(tmp_path: Path) -> None:
    path = sealed(tmp_path, [kept([report("a")])])
    with sealed_day.opened(path) as before:
        sealed(tmp_path, [kept([report("b")])])
        assert before.find(1, "a") is not None
        with sealed_day.opened(path) as after:
            assert after.find(1, "a") is None


def test_there_may_be_none(tmp_path: Path) -> None:
    with sealed_day.opened_if_there(tmp_path / "2026-01-30.sealed") as day:
        assert day is None
    with pytest.raises(ChunkError, match="cannot be read"), sealed_day.opened(tmp_path / "2026-01-30.sealed"):
        pass
