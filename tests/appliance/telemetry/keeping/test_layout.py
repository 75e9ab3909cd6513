"""The head and the directory of a sealed day come back, and damage to them is always found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.keeping import layout
from appliance.telemetry.keeping.layout import PAGE_BYTES, DeviceEntry, Extent, Head
from appliance.telemetry.packing import ChunkError

sizes = st.integers(0, 2**40)
moments = st.integers(-(2**41), 2**42)
extents = st.builds(
    lambda offset, length, count, first, span, log_id: Extent(offset, length, count, first, first + span, log_id),
    *(sizes, sizes, sizes, moments, st.integers(0, 86_400_000), sizes),
)
entries = st.builds(
    DeviceEntry,
    *(st.integers(0, 9), st.text(max_size=9), sizes, sizes, moments, sizes, sizes, st.integers(0, 2**32 - 1)),
    extents=st.lists(extents, max_size=4).map(tuple),
)
directories = st.lists(entries, max_size=6, unique_by=lambda entry: (entry.tenant_id, entry.device_id))
checks = st.lists(st.integers(0, 2**32 - 1), max_size=9)
heads = st.builds(Head, st.integers(0, 2**30), st.integers(0, 2**31), sizes, sizes, st.integers(0, 2**32 - 1))


@given(heads)
def test_a_head_comes_back(head: Head) -> None:
    assert layout.take_head(layout.put_head(head)) == head


@given(heads, st.integers(0, PAGE_BYTES - 1), st.integers(1, 255))
def test_a_head_with_any_byte_changed_is_refused(head: Head, place: int, change: int) -> None:
    page = bytearray(layout.put_head(head))
    page[place] ^= change
    with pytest.raises(ChunkError):
        layout.take_head(bytes(page))


@given(directories, checks)
def test_every_device_is_found_in_the_directory(directory: list[DeviceEntry], page_checks: list[int]) -> None:
    foot = layout.put_foot(directory, page_checks)
    index = layout.take_index(foot)
    assert list(index.page_checks) == page_checks
    for entry in directory:
        numbers = index.entries_of(layout.key_of(entry.tenant_id, entry.device_id))
        found = [layout.take_entry(foot[index.places[number] : index.places[number + 1]]) for number in numbers]
        assert entry in found
    assert index.places[-1] == len(foot)


@given(directories.filter(bool), checks, st.data())
def test_a_directory_with_any_byte_changed_gives_no_other_entry(
    directory: list[DeviceEntry], page_checks: list[int], data: st.DataObject
) -> None:
    foot = bytearray(layout.put_foot(directory, page_checks))
    foot[data.draw(st.integers(0, len(foot) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        index = layout.take_index(bytes(foot))
    except ChunkError:
        return
    refused = 0
    for number in range(len(index.keys)):
        try:
            assert layout.take_entry(bytes(foot[index.places[number] : index.places[number + 1]])) in directory
        except ChunkError:
            refused += 1
    assert refused == 1


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ChunkError, match="checksum"):
        layout.take_head(bytes(PAGE_BYTES))
    with pytest.raises(ChunkError):
        layout.take_entry(b"")
    with pytest.raises(ChunkError, match="too soon"):
        layout.take_counts(b"")


def test_devices_with_the_same_key_are_all_found() -> None:
    index = layout.Index([3, 5, 5, 9], [0, 1, 2, 3, 4], [])
    assert index.entries_of(5) == [1, 2]
    assert index.entries_of(4) == []
    assert index.entries_of(10) == []
