"""Where files lie, and what tells one sealed day from another."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.cold.shelf import files
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.sealed_day import KeptDevice
from tests.appliance.telemetry.reports import DAY


@given(st.integers(0, 80_000))
def test_a_day_is_found_by_the_name_of_its_folder(day: int) -> None:
    path = files.path_of(Path("cold"), day)
    assert files._day(path.parent) == day
    assert path.as_posix() == f"cold/{files.key_of(day)}"


def test_a_file_has_the_name_that_others_look_for(tmp_path: Path) -> None:
    path = files.path_of(tmp_path / "cold", DAY)
    assert path == tmp_path / "cold" / "day=2026-01-31" / "part.parquet"
    target = files.made_room(path)
    assert target.parent == path.parent
    target.write_bytes(b"abc")
    assert files.days_in(tmp_path / "cold") == {}
    target.rename(path)
    assert files.days_in(tmp_path / "cold") == {DAY: 3}
    files.made_room(path).touch()
    files.remove_leftovers(tmp_path / "cold")
    files.remove(path)
    assert [each.name for each in tmp_path.rglob("*")] == ["cold"]
    files.remove(path)


def test_a_sealed_day_is_told_from_the_one_that_takes_its_place(tmp_path: Path) -> None:
    sources = files.Sources()
    path = tmp_path / "2026-01-31.sealed"
    assert sources.of(path) is None
    sealed_day.settle(
        sealed_day.require_whole(sealed_day.write(path, DAY, 7, [KeptDevice(1, "a", 0, 0, 0, b"", ())])), path
    )
    first = sources.of(path)
    assert dict(sources.all(tmp_path)) == {DAY: first}
    sealed_day.settle(
        sealed_day.require_whole(sealed_day.write(path, DAY, 7, [KeptDevice(1, "b", 0, 0, 0, b"", ())])), path
    )
    assert sources.of(path) not in (None, first)
    path.write_bytes(b"nothing")
    assert sources.of(path) is None


@pytest.mark.parametrize("name", ["day=2026-02-30", "day=abcd-ef-gh", "day=2026-00-01"])
def test_a_folder_that_is_named_like_a_day_and_is_none_is_passed_over(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / files.NAME).touch()
    (tmp_path / name / "_damaged-1-1.parquet").touch()
    (tmp_path / f"{name.removeprefix(files.FOLDER)}.sealed").touch()
    assert files.days_in(tmp_path) == {}
    assert files.aside(tmp_path) == []
    assert dict(files.Sources().all(tmp_path)) == {}


def test_what_is_set_aside_is_found_by_its_day_and_no_name_is_given_twice(tmp_path: Path) -> None:
    path = files.path_of(tmp_path, DAY)
    files.made_room(path)
    for content in (b"first", b"second"):
        path.write_bytes(content)
        files.set_aside(path, 7)
    assert not path.exists()
    found = files.aside(tmp_path)
    assert [(each.day, each.erasure_number, each.path.read_bytes()) for each in found] == [
        (DAY, 7, b"first"),
        (DAY, 7, b"second"),
    ]
    assert files.days_in(tmp_path) == {}


def test_the_checksum_is_that_of_the_whole_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a").startswith("ba7816bf")
    with pytest.raises(OSError, match="nothing"):
        files.sha256_of(tmp_path / "nothing")


@given(st.binary(max_size=40), st.integers(0, 10**18 - 1), st.integers(0, 9), st.binary(max_size=40))
def test_the_last_that_a_file_says_of_its_erasings_is_found_whatever_readings_look_like(
    before: bytes, number: int, extra: int, after: bytes
) -> None:
    another, told = (_told(each, extra) for each in (number // 2 + 1, number))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(bytes(1 << 16) + another + before + told + after)
        assert files.erasure_number_in(path) == number
        path.write_bytes(before + after)
        assert files.erasure_number_in(path) == 0
    assert files.erasure_number_in(path) == 0


def _told(number: int, extra: int) -> bytes:
    value = f'["1-2-3-ab", {number}, {extra}]'.encode()
    return b"headworks.origin\x18" + bytes([len(value)]) + value


def test_a_sealed_day_that_the_system_does_not_show_is_told_from_none(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-31.sealed"
    sources = files.Sources()
    assert sources.surely(path) is None
    path.symlink_to(path.name)
    assert sources.of(path) is None
    with pytest.raises(OSError, match="symbolic"):
        sources.surely(path)
