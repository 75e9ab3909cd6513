"""What was seen in a chunk is what is seen in it again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import chunk
from appliance.telemetry.days.recent import RecentGlances
from appliance.telemetry.glance import Glance
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import NOON, report

BLOBS = [
    chunk.encode(Rows.of([report(at=NOON + at, values={"a": at / 10, "b": number}) for at in range(9)], 1))
    for number in range(4)
]
PLENTY = 1 << 20


def told(seen: Glance) -> object:
    return list(seen.at), {metric: list(column.cells) for metric, column in seen.columns.items()}, seen.last_log_id


@given(st.lists(st.tuples(st.sampled_from(BLOBS), st.sets(st.sampled_from("abc")))), st.sampled_from([0, 900, PLENTY]))
def test_whatever_is_kept_the_same_is_seen(asked: list[tuple[bytes, set[str]]], limit_bytes: int) -> None:
    recent = RecentGlances(limit_bytes)
    for blob, metrics in asked:
        assert told(recent.look(blob, metrics)) == told(Glance(blob, metrics))


def test_what_was_asked_for_lately_is_not_unpacked_again() -> None:
    recent = RecentGlances(PLENTY)
    first = recent.look(BLOBS[0], ["a"])
    assert recent.look(bytes(bytearray(BLOBS[0])), ["a"]) is first
    assert recent.look(BLOBS[0], ["a", "b"]) is not first
    recent.forget()
    assert recent.look(BLOBS[0], ["a"]) is not first


def test_what_was_not_asked_for_the_longest_goes_first() -> None:
    recent = RecentGlances(2 * 2 * Glance(BLOBS[0], ["a"]).byte_count + 8)
    seen = [recent.look(blob, ["a"]) for blob in BLOBS[:3]]
    assert recent.look(BLOBS[0], ["a"]) is seen[0]
    recent.look(BLOBS[3], ["a"])
    assert [recent.look(BLOBS[place], ["a"]) is seen[place] for place in (0, 2)] == [True, True]
    assert recent.look(BLOBS[1], ["a"]) is not seen[1]


def test_what_is_too_large_is_not_kept() -> None:
    recent = RecentGlances(10)
    assert recent.look(BLOBS[0], ["a"]) is not recent.look(BLOBS[0], ["a"])


def test_damage_is_found_however_often_the_chunk_was_seen_whole() -> None:
    recent = RecentGlances(PLENTY)
    recent.look(BLOBS[0], ["a"])
    for _ in range(2):
        with pytest.raises(ChunkError):
            recent.look(BLOBS[0][:-1] + b"x", ["a"])
