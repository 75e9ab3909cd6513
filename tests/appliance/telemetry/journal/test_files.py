"""Segments on the disk: for their owner only, whole or as they were before, and without what was erased."""

import errno
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.journal import files, frames
from appliance.telemetry.journal.files import Writer
from appliance.telemetry.journal.model import BrokenOffError, RawMessage, Segment
from appliance.telemetry.keeping.model import StoppedError
from tests.appliance.telemetry.journal.examples import going_on, largest_file, raw, raw_messages, read
from tests.appliance.telemetry.reports import NOON


def written(folder: Path, *batches: list[RawMessage], number: int = 1, is_ended: bool = True) -> Segment:
    writer = Writer(folder, number, NOON, is_continued=False)
    for batch in batches:
        writer.append(frames.block(batch), batch)
    if is_ended:
        return writer.finish(NOON + 100)
    writer.close()
    return writer.segment


def without(folder: Path, segment: Segment, is_left_out: Callable[[RawMessage], bool]) -> Segment | None:
    """What is left of a segment, in its place."""
    left = files.without(folder, segment, is_left_out, going_on)
    if left is not None and left is not segment:
        files.put_in_place(folder, segment.number)
    return left


@given(st.lists(st.lists(raw_messages, min_size=1, max_size=3), max_size=3), st.booleans())
def test_a_segment_is_found_again_as_it_was_left(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[RawMessage]], is_ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("journal") / "journal"
    segment = written(folder, *batches, is_ended=is_ended)
    assert files.survey(folder).segments == [segment]
    assert read(folder, segment) == [each for batch in batches for each in batch]
    source, count = files.opened(folder, segment)
    source.close()
    assert count == sum(map(len, batches))


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        segment = written(tmp_path / "journal", [raw()], [raw("b")])
        files.without(tmp_path / "journal", segment, lambda message: message.principal == "b", going_on)
        files.put_in_place(tmp_path / "journal", 1)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(files.path_of(tmp_path / "journal", 1).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700


@given(
    st.lists(raw_messages, min_size=1, max_size=6),
    st.sampled_from(["a", "b", "nobody"]),
    st.booleans(),
)
def test_what_is_left_out_is_gone_and_the_rest_stays(
    tmp_path_factory: pytest.TempPathFactory, messages: list[RawMessage], device_id: str, is_ended: bool
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    segment = written(folder, messages[:3], messages[3:] or [raw()], is_ended=is_ended)
    before = read(folder, segment)
    left = without(folder, segment, lambda message: message.is_of([device_id]))
    assert left is not None
    assert read(folder, left) == [each for each in before if not each.is_of([device_id])]
    assert files.survey(folder).segments == [left]
    assert left.kept.whole_until == segment.kept.whole_until


def test_what_cannot_be_read_goes_with_what_is_left_out(tmp_path: Path) -> None:
    segment = written(tmp_path, [raw("a", b"first")], [raw("b", b"second")])
    path = files.path_of(tmp_path, 1)
    content = bytearray(path.read_bytes())
    content[-frames.END_BYTES - 3] ^= 1
    path.write_bytes(content)
    left = without(tmp_path, segment, lambda _: False)
    assert left is not None
    assert [each.payload for each in read(tmp_path, left)] == [b"first"]
    # What was lost of it nobody takes for whole.
    assert left.kept.whole_until is None
    assert files.survey(tmp_path).segments == [left]


def test_a_segment_that_has_nothing_of_it_is_not_touched(tmp_path: Path) -> None:
    for number, is_ended in ((1, True), (2, False)):
        segment = written(tmp_path, [raw("a")], [raw("b")], number=number, is_ended=is_ended)
        before = files.path_of(tmp_path, number).stat()
        assert files.without(tmp_path, segment, lambda _: False, going_on) is segment
        after = files.path_of(tmp_path, number).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.glob("*.part")) == []


def test_of_a_segment_one_block_is_in_memory_at_a_time(tmp_path: Path) -> None:
    size = 200_000
    segment = written(tmp_path, *([raw("a", os.urandom(size)), raw("b", os.urandom(size))] for _ in range(16)))
    tracemalloc.start()
    try:
        left = without(tmp_path, segment, lambda message: message.principal == "a")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert left is not None
    assert left.kept.message_count == 16
    assert peak < 20 * size


def test_a_stop_breaks_it_off_between_two_blocks_and_leaves_nothing_behind(tmp_path: Path) -> None:
    segment = written(tmp_path, [raw("a")], [raw("b")], [raw("a")])
    before = files.path_of(tmp_path, 1).read_bytes()
    for count in range(5):
        answers = iter([False] * count)

        def is_stopping(answers: Iterator[bool] = answers) -> bool:
            return next(answers, True)

        with pytest.raises(StoppedError):
            files.without(tmp_path, segment, lambda message: message.principal == "b", is_stopping)
        assert [path.name for path in tmp_path.iterdir()] == ["0000000001.raw"]
        assert files.path_of(tmp_path, 1).read_bytes() == before


def test_what_was_written_for_a_segment_that_went_is_removed(tmp_path: Path) -> None:
    segment = written(tmp_path, [raw("a")])
    files.without(tmp_path, segment, lambda _: True, going_on)
    files.unlink(tmp_path, [1])
    files.remove_unfinished(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_cannot_be_written_anew_goes(tmp_path: Path) -> None:
    segment = written(tmp_path, [raw("a")])
    # Somebody else's folder stands where the new file would.
    (tmp_path / "0000000001.part" / "x").mkdir(parents=True)
    assert without(tmp_path, segment, lambda _: True) is None
    files.unlink(tmp_path, [1])
    # Nor does one that somebody removed keep anything from being erased.
    assert without(tmp_path, segment, lambda _: True) is None


def test_a_write_that_fails_leaves_the_segment_as_it_was(tmp_path: Path) -> None:
    writer = Writer(tmp_path, 1, NOON, is_continued=False)
    writer.append(frames.block([raw()]), [raw()])
    before = writer.path.read_bytes()
    large = [raw(payload=os.urandom(5_000))]
    # A part of it is written before the rest is refused.
    with largest_file(len(before) + 2_000), pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        writer.append(frames.block(large), large)
    assert writer.path.read_bytes() == before
    writer.append(frames.block(large), large)
    segment = writer.finish(NOON + 1)
    assert read(tmp_path, segment) == [raw(), *large]


def test_what_was_not_finished_is_removed_and_what_is_no_segment_is_told(tmp_path: Path) -> None:
    for name in ("0000000003.part", "0000000002.raw", "notes.raw", "other.txt"):
        (tmp_path / name).write_bytes(b"?")
    found = files.survey(tmp_path)
    assert [each.number for each in found.segments] == [2]
    assert found.damages == ["0000000002.raw: it does not begin as a segment does"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000000002.raw", "notes.raw", "other.txt"]
    assert files.survey(tmp_path / "nowhere").segments == []


def test_what_went_or_was_damaged_cannot_be_opened(tmp_path: Path) -> None:
    segment = written(tmp_path, [raw()])
    files.path_of(tmp_path, 1).write_bytes(b"?")
    with pytest.raises(BrokenOffError, match="damaged"):
        files.opened(tmp_path, segment)
    files.unlink(tmp_path, [1])
    with pytest.raises(BrokenOffError, match="went"):
        files.opened(tmp_path, segment)


def test_large_messages_come_in_several_blocks() -> None:
    messages = [raw(payload=bytes(700_000)) for _ in range(5)]
    parts = [some for _, some in files.blocks_of(messages, 1_000_000)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [each for part in parts for each in part] == messages
