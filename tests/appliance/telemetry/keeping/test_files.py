"""Files of a day take each other's place, are set aside under free names, and go with all that belongs to them."""

from pathlib import Path

import pytest

from appliance.telemetry.keeping import files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def make(folder: Path, *made: str) -> Path:
    for name in made:
        (folder / name).write_bytes(name.encode() * 1_000)
    return folder / "2026-01-31.db"


def test_a_day_takes_what_its_files_take_and_what_was_set_aside_of_it(tmp_path: Path) -> None:
    day = make(tmp_path, "2026-01-31.db", "2026-01-31.db-wal", "2026-01-31.sealed", "2026-01-31.db.damaged-1")
    rooms = {path.name: path.stat().st_blocks * 512 for path in tmp_path.iterdir()}
    use = files.use(7, day, files.set_aside(tmp_path, day.stem))
    assert use.day == 7
    assert use.open_bytes == rooms["2026-01-31.db"] + rooms["2026-01-31.db-wal"]
    assert use.sealed_bytes == rooms["2026-01-31.sealed"] + rooms["2026-01-31.db.damaged-1"]
    assert use.changed_at == max(path.stat().st_mtime_ns for path in tmp_path.glob("*.db*l")) // 1_000_000
    assert files.length(day) == sum(len(name) * 1_000 for name in rooms if "damaged" not in name)
    assert files.use(8, tmp_path / "2026-02-01.db", ())[1:] == (0, 0, 0)


def test_what_was_written_takes_the_place_of_both_parts(tmp_path: Path) -> None:
    day = make(tmp_path, "2026-01-31.db", "2026-01-31.db-wal", "2026-01-31.sealed", "2026-01-31.sealed.tmp")
    files.settle(day, tmp_path / "2026-01-31.sealed.tmp")
    assert names(tmp_path) == {"2026-01-31.sealed"}
    assert b"tmp" in (tmp_path / "2026-01-31.sealed").read_bytes()
    files.settle(day, None)
    assert names(tmp_path) == set()


def test_a_sealed_part_alone_leaves_the_open_one(tmp_path: Path) -> None:
    day = make(tmp_path, "2026-01-31.db", "2026-01-31.sealed")
    files.settle_sealed(day, None)
    assert names(tmp_path) == {"2026-01-31.db"}


def test_damaged_parts_are_kept_under_names_that_are_free(tmp_path: Path) -> None:
    day = make(
        tmp_path, "2026-01-31.db", "2026-01-31.sealed", "2026-01-31.sealed.tmp", "2026-01-31.db.damaged-1", "other.db"
    )
    sealed = tmp_path / "2026-01-31.sealed"
    aside = files.settle_saved(day, tmp_path / "2026-01-31.sealed.tmp", [sealed, day])
    assert [path.name for path in aside] == ["2026-01-31.sealed.damaged-1", "2026-01-31.db.damaged-2"]
    assert [path.read_bytes()[:17] for path in aside] == [b"2026-01-31.sealed", b"2026-01-31.db2026"]
    assert b"tmp" in sealed.read_bytes()
    assert not day.exists()
    assert set(files.set_aside(tmp_path, "2026-01-31")) == {*aside, tmp_path / "2026-01-31.db.damaged-1"}
    assert files.stem_of(aside[0]) == "2026-01-31"
    assert files.drop(day) > 0
    assert names(tmp_path) == {"other.db"}


def test_what_was_set_aside_goes_with_its_companions(tmp_path: Path) -> None:
    make(tmp_path, "2026-01.db.damaged-1", "2026-01.db.damaged-1-wal", "2026-01.db.damaged-1-shm", "2026-01.db")
    [aside] = files.set_aside(tmp_path)
    files.remove_set_aside(aside)
    assert names(tmp_path) == {"2026-01.db"}


@pytest.mark.parametrize("suffix", files.COMPANIONS)
def test_an_open_day_goes_with_whatever_there_is_of_it(tmp_path: Path, suffix: str) -> None:
    day = make(tmp_path, f"2026-01-31.db{suffix}")
    files.remove_open_day(day)
    assert names(tmp_path) == set()
    assert files.free_bytes(tmp_path) > 0
