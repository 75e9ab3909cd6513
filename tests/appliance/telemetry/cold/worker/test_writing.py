"""A day is written whole, whatever its size and whatever an older file of it has."""

from pathlib import Path

import pytest

from appliance.telemetry import chunk
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.sealed_day import KeptDevice, Piece
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import DAY, NOON, report

pytest.importorskip("pyarrow", reason="pyarrow, which writes Parquet, is not installed")

from appliance.telemetry.cold.worker import parquet, writing
from appliance.telemetry.cold.worker.model import Export, Without, Written

EVER = parquet.EVER


def rest() -> None:
    """Take no time."""


def sealed(folder: Path, received: dict[str, list[list[Report]]]) -> Path:
    """A sealed day that holds these reports, in these chunks."""
    path = folder / "2026-01-31.sealed"
    devices = []
    for device_id, chunks in received.items():
        pieces = []
        for number, some in enumerate(chunks, 1):
            rows = Rows.of(some, number)
            pieces.append(Piece(rows.count, min(rows.at), max(rows.at), number, chunk.encode(rows)))
        devices.append(KeptDevice(1, device_id, 0, 0, 0, b"", pieces))
    sealed_day.settle(sealed_day.require_whole(sealed_day.write(path, DAY, 0, devices)), path)
    return path


def exported(
    folder: Path, path: Path, older: Path | None = None, left_out: tuple[tuple[int, str], ...] = ()
) -> Written:
    target = folder / "new.parquet"
    written = writing.export(Export(str(path), str(older) if older else None, left_out, str(target), "source", 7), rest)
    if written.reading_count:
        target.rename(folder / "part.parquet")
    return written


def read(path: Path, device_id: str) -> list[Report]:
    with parquet.File(path) as file:
        return file.reports((1, device_id), *EVER)


def test_a_device_with_very_many_reports_is_written_hour_by_hour_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [report(at=DAY * 86_400_000 + minute * 60_000, values={"n": minute}) for minute in range(1_440)]
    path = sealed(tmp_path, {"sensor-001": [many[1::2], many[::2]], "z": [[report("z")]]})
    whole = exported(tmp_path, path)
    as_one = read(tmp_path / "part.parquet", "sensor-001")
    monkeypatch.setattr(writing, "MANY_REPORTS", 100)
    monkeypatch.setattr(parquet, "MANY_READINGS", 100)
    monkeypatch.setattr(parquet, "MOST_GROUP_ROWS", 50)
    assert exported(tmp_path, path).reading_count == whole.reading_count == 1_442
    assert read(tmp_path / "part.parquet", "sensor-001") == as_one == many
    without = writing.without(
        Without(str(tmp_path / "part.parquet"), ((1, "z"),), str(tmp_path / "less.parquet"), 8), rest
    )
    assert without.reading_count == 1_440
    assert read(tmp_path / "less.parquet", "sensor-001") == many


def test_a_file_says_what_it_was_made_of(tmp_path: Path) -> None:
    path = sealed(tmp_path, {"a": [[report("a")]], "b": [[report("b")]]})
    written = exported(tmp_path, path)
    assert written == writing.described(tmp_path / "part.parquet")
    assert (written.source, written.erasure_number, written.extra_count) == ("source", 7, 0)
    writing.without(Without(str(tmp_path / "part.parquet"), ((1, "a"),), str(tmp_path / "less"), 9), rest)
    assert writing.described(tmp_path / "less").erasure_number == 9
    assert writing.described(tmp_path / "less").source == "source"


def test_what_only_the_older_file_has_stays_but_for_what_is_left_out(tmp_path: Path) -> None:
    early, late = report("a"), report("a", NOON + 1)
    exported(tmp_path, sealed(tmp_path, {"a": [[early]], "gone": [[report("gone")]], "kept": [[report("kept")]]}))
    written = exported(
        tmp_path, sealed(tmp_path, {"a": [[late, early]]}), tmp_path / "part.parquet", left_out=((1, "gone"),)
    )
    assert read(tmp_path / "part.parquet", "a") == [early, late]
    assert read(tmp_path / "part.parquet", "gone") == []
    assert read(tmp_path / "part.parquet", "kept") == [report("kept")]
    assert written.extra_count == 1


def test_of_a_file_of_which_nothing_can_be_read_nothing_stays_and_its_day_is_written_all_the_same(
    tmp_path: Path,
) -> None:
    older = tmp_path / "older"
    older.write_bytes(b"PAR1 nothing PAR1")
    request = Without(str(older), ((1, "a"),), str(tmp_path / "less"), 9, is_doubted=True)
    assert writing.without(request, rest) == Written(0, lost_count=1)
    path = sealed(tmp_path, {"a": [[report("a")]]})
    told = writing.export(Export(str(path), str(older), (), str(tmp_path / "new"), "source", 7, is_doubted=True), rest)
    assert (told.reading_count, told.lost_count) == (2, 1)
    with pytest.raises((OSError, ValueError)):
        writing.export(Export(str(path), str(older), (), str(tmp_path / "new"), "source", 7), rest)


def test_a_chunk_that_was_damaged_is_counted_and_the_others_are_written(tmp_path: Path) -> None:
    path = sealed(tmp_path, {"a": [[report("a")], [report("a", NOON + 1)]]})
    content = bytearray(path.read_bytes())
    content[4096 + 40] ^= 1
    path.write_bytes(content)
    written = exported(tmp_path, path)
    assert (written.unreadable_count, written.reading_count) == (1, 2)


def test_a_day_of_which_nothing_is_left_gives_no_file(tmp_path: Path) -> None:
    path = sealed(tmp_path, {"a": [[report("a", values={})]]})
    assert exported(tmp_path, path).reading_count == 0
    assert not (tmp_path / "new.parquet").exists()


def test_nothing_is_written_when_nothing_is_to_be_left_out(tmp_path: Path) -> None:
    exported(tmp_path, sealed(tmp_path, {"a": [[report("a")]]}))
    target = tmp_path / "less"
    assert writing.without(Without(str(tmp_path / "part.parquet"), ((1, "b"),), str(target), 1), rest).is_unchanged
    assert not target.exists()
