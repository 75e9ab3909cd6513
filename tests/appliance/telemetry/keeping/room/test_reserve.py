"""What is done about the room that is left, and the file that is given up first."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.keeping.room import reserve
from appliance.telemetry.keeping.room.reserve import MEGABYTE, Disk, Dropped, Step

sizes = st.integers(0, 400 * MEGABYTE)


@given(sizes, sizes, st.booleans(), st.integers(0, 9), st.integers(1, 60 * MEGABYTE))
def test_it_comes_to_rest_and_nothing_is_dropped_while_there_is_a_reserve(
    free: int, asked: int, may_drop: bool, day_count: int, day_bytes: int
) -> None:
    disk = Disk(free, 10**9, asked)
    for _ in range(day_count + 4):
        match reserve.next_step(disk, asked, may_drop=may_drop):
            case Step.NOTHING | Step.WAIT:
                break
            case Step.GIVE_UP_RESERVE:
                disk = Disk(disk.free_bytes + disk.reserve_bytes, disk.total_bytes, 0)
            case Step.MAKE_RESERVE:
                disk = Disk(disk.free_bytes - asked, disk.total_bytes, asked)
            case Step.DROP_OLDEST:
                assert may_drop
                assert disk.reserve_bytes == 0
                if not day_count:
                    break
                day_count -= 1
                disk = disk._replace(free_bytes=disk.free_bytes + day_bytes)
    else:
        pytest.fail("it never came to rest")
    is_low = disk.free_bytes < reserve.low_bytes(asked)
    assert not is_low or (disk.reserve_bytes == 0 and (not may_drop or day_count == 0))


def test_a_full_disk_takes_the_reserve_then_the_oldest_day_if_that_is_allowed() -> None:
    asked = 64 * MEGABYTE
    assert reserve.next_step(Disk(0, 1, asked), asked, may_drop=True) is Step.GIVE_UP_RESERVE
    assert reserve.next_step(Disk(0, 1, 0), asked, may_drop=True) is Step.DROP_OLDEST
    assert reserve.next_step(Disk(0, 1, 0), asked, may_drop=False) is Step.WAIT
    assert reserve.next_step(Disk(asked, 1, 0), asked, may_drop=True) is Step.NOTHING
    assert reserve.next_step(Disk(2 * asked, 1, 0), asked, may_drop=True) is Step.MAKE_RESERVE
    assert reserve.next_step(Disk(2 * asked, 1, asked), 0, may_drop=True) is Step.GIVE_UP_RESERVE


@given(sizes, sizes, sizes, st.integers(0, 2 * reserve.PATIENCE_MS))
def test_a_day_that_is_not_seen_to_help_is_followed_by_none_for_a_while(
    before: int, freed: int, free: int, passed_ms: int
) -> None:
    last = Dropped(before, freed, 5)
    may_drop = reserve.may_drop_again(last, Disk(free, 10**9, 0), 5 + passed_ms)
    assert may_drop is (free - before >= freed // 2 or passed_ms >= reserve.PATIENCE_MS)
    assert reserve.may_drop_again(None, Disk(free, 10**9, 0), passed_ms)


def test_the_reserve_takes_room_that_is_really_there(tmp_path: Path) -> None:
    path = tmp_path / "reserve.bin"
    assert reserve.look(tmp_path, path).reserve_bytes == 0
    reserve.make(path, 2 * MEGABYTE)
    disk = reserve.look(tmp_path, path)
    assert disk.reserve_bytes >= 2 * MEGABYTE
    assert 0 < disk.free_bytes < disk.total_bytes
    assert disk.block_bytes == os.statvfs(tmp_path).f_frsize
    with pytest.raises(OSError, match="space"):
        reserve.make(path, disk.total_bytes * 2)
    assert not path.exists()
