"""A segment gives back what was written, and cut anywhere what was written before the cut."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.journal import frames
from appliance.telemetry.journal.model import Kept, RawMessage
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.journal.examples import raw, raw_messages
from tests.appliance.telemetry.reports import NOON

batches = st.lists(st.lists(raw_messages, min_size=1, max_size=4), max_size=4)


def segment(parts: list[list[RawMessage]], *, is_ended: bool) -> bytes:
    content = frames.head(NOON, is_continued=True) + b"".join(map(frames.block, parts))
    return content + frames.end(kept_of(parts, NOON + 99)) if is_ended else content


def kept_of(parts: list[list[RawMessage]], whole_until: int | None) -> Kept:
    moments = [each.arrived_at for part in parts for each in part] or [NOON]
    return Kept(
        NOON,
        is_continued=True,
        whole_until=whole_until,
        first_at=min(moments),
        last_at=max(moments),
        message_count=sum(map(len, parts)),
    )


def messages(content: bytes) -> list[RawMessage]:
    return [each for block in frames.blocks(io.BytesIO(content)) for each in block.messages()]


@given(batches, st.booleans())
def test_what_was_written_is_read_and_told(parts: list[list[RawMessage]], is_ended: bool) -> None:
    content = segment(parts, is_ended=is_ended)
    assert messages(content) == [each for part in parts for each in part]
    assert frames.kept(io.BytesIO(content), len(content)) == kept_of(parts, NOON + 99 if is_ended else None)


@given(batches, st.data())
def test_any_cut_leaves_the_blocks_before_it(parts: list[list[RawMessage]], data: st.DataObject) -> None:
    content = segment(parts, is_ended=True)
    length = data.draw(st.integers(len(frames.head(0, is_continued=False)), len(content) - 1))
    # A file system may have made the file longer than what got to it.
    cut = content[:length] + bytes(data.draw(st.sampled_from([0, 1, 200])))
    before = [part for place, part in enumerate(parts) if len(cut_before(parts, place)) <= length]
    found, whole = messages(cut), [each for part in parts for each in part]
    assert found == whole[: len(found)]
    assert len(found) >= sum(map(len, before))
    kept = frames.kept(io.BytesIO(cut), len(cut))
    assert kept.message_count == len(found)
    assert kept.whole_until in (None, NOON + 99)


def cut_before(parts: list[list[RawMessage]], place: int) -> bytes:
    """A segment up to and with one of its blocks."""
    return segment(parts[: place + 1], is_ended=False)


@given(st.lists(st.lists(raw_messages, min_size=1, max_size=3), min_size=1, max_size=3), st.data())
def test_a_byte_that_changed_gives_nothing_wrong(parts: list[list[RawMessage]], data: st.DataObject) -> None:
    content = bytearray(segment(parts, is_ended=True))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    whole = [each for part in parts for each in part]
    found = messages(bytes(content))
    assert found == whole[: len(found)]


@pytest.mark.parametrize("content", [b"", b"nothing of ours", frames.block([raw()])])
def test_what_does_not_begin_as_a_segment_is_refused(content: bytes) -> None:
    with pytest.raises(ChunkError):
        frames.kept(io.BytesIO(content), len(content))


def test_a_segment_of_a_later_release_is_refused() -> None:
    later = frames._framed(frames.HEAD, frames._HEAD.pack(b"headworks raw 2\n", 0, False))
    with pytest.raises(ChunkError, match="later release"):
        frames.kept(io.BytesIO(later), len(later))


def test_a_block_that_lies_about_itself_is_refused() -> None:
    short = frames._framed(frames.MESSAGES, b"x")
    with pytest.raises(ChunkError, match="too short"):
        list(frames.blocks(io.BytesIO(short)))
