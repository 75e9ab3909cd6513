"""A zip file that is made piece by piece is one that others read."""

import io
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import from_text
from appliance.registry.catalogue.archive import Archive

NOW = from_text("2026-11-21T06:00:03")
names = st.text(st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1, max_size=20)


def written(files: dict[str, bytes], now: int = NOW) -> bytes:
    archive = Archive(now)
    return b"".join([*(archive.added(name, content) for name, content in files.items()), archive.ended()])


@given(files=st.dictionaries(names, st.binary(max_size=200), max_size=20))
def test_what_went_in_comes_out_for_its_owner_alone(files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(written(files))) as read:
        assert read.testzip() is None
        assert {info.filename: read.read(info) for info in read.infolist()} == files
        assert all(info.external_attr >> 16 == 0o100600 for info in read.infolist())
        assert all(info.date_time == (2026, 11, 21, 6, 0, 2) for info in read.infolist())


@pytest.mark.parametrize("count", [65_534, 65_535])
def test_there_may_be_more_files_than_sixteen_bits_can_count(count: int) -> None:
    whole = written({f"d-{number}": b"x" for number in range(count)})
    with zipfile.ZipFile(io.BytesIO(whole)) as read:
        assert len(read.infolist()) == count
        assert read.read(f"d-{count - 1}") == b"x"
    # Python's reader does not look at the counts; others do.
    [said] = struct.unpack_from("<H", whole, len(whole) - 12)
    if said == 0xFFFF:
        [said] = struct.unpack_from("<Q", whole, whole.rindex(b"PK\6\6") + 32)
    assert said == count


def test_a_clock_before_zip_files_were_there_does_not_matter() -> None:
    with zipfile.ZipFile(io.BytesIO(written({"a": b"b"}, now=0))) as read:
        assert read.getinfo("a").date_time == (1980, 1, 1, 0, 0, 0)
