"""Which segments go, and of which times the journal has everything."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import HOUR_MS
from appliance.telemetry.journal import plan
from appliance.telemetry.journal.model import Kept, Segment, Span


def segment(number: int, begun_at: int, until: int | None, *, is_continued: bool = True, size: int = 100) -> Segment:
    last_at = begun_at + 1 if until is None else until
    return Segment(number, size, Kept(begun_at, is_continued, until, begun_at, last_at, 1))


@given(st.lists(st.integers(1, 500), max_size=8), st.integers(0, 2_000), st.integers(0, 12))
def test_the_oldest_go_until_the_rest_fits_and_none_is_too_old(sizes: list[int], room: int, hours_on: int) -> None:
    segments = [
        segment(number, number * HOUR_MS, (number + 1) * HOUR_MS, size=size) for number, size in enumerate(sizes)
    ]
    now = hours_on * HOUR_MS
    gone = plan.due(segments, now, 2, room)
    assert gone == [each.number for each in segments[: len(gone)]]
    left = segments[len(gone) :]
    assert sum(each.size_bytes for each in left) <= room
    assert all(each.kept.last_at >= now - 2 * HOUR_MS for each in left)
    # None goes that need not.
    for each in segments[: len(gone)]:
        rest = sum(other.size_bytes for other in segments if other.number >= each.number)
        assert rest > room or each.kept.last_at < now - 2 * HOUR_MS


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.booleans(), st.booleans()), max_size=8))
def test_a_time_is_whole_only_where_no_break_lies(parts: list[tuple[int, bool, bool, bool]]) -> None:
    segments, whole, at, before = [], list[set[int]](), 0, False
    for number, (width, is_continued, is_ended, is_there) in enumerate(parts):
        if is_there:
            segments.append(segment(number, at, at + width if is_ended else None, is_continued=is_continued))
            mine = set(range(at, at + width if is_ended else at + 1))
            if before and is_continued:
                whole[-1] |= mine
            else:
                # The last millisecond of what it goes on from is not here with that.
                whole.append(mine - {at} if is_continued else mine)
        before = is_there and is_ended
        at += width
    for start in range(at + 1):
        for end in range(start + 1, at + 2):
            expected = any(set(range(start, end)) <= each for each in whole)
            assert plan.has_whole(segments, start, end) == expected


def test_a_segment_that_was_never_ended_is_whole_up_to_its_last_arrival() -> None:
    assert plan.spans([segment(1, 10, None, is_continued=False)]) == [Span(10, 11)]
    assert plan.has_whole([], 0, 1) is False


@given(st.lists(st.integers(-60, 60), max_size=8), st.integers(-60, 60))
def test_a_clock_that_was_set_back_keeps_nothing_longer_than_what_came_after(moments: list[int], ended: int) -> None:
    segments = [segment(number, each * HOUR_MS, each * HOUR_MS, size=0) for number, each in enumerate(moments)]
    gone = plan.due(segments, 0, 24, 0, ended * HOUR_MS)
    # What the clock was not yet at when it was asked came before whatever came next.
    after = [next((each for each in [*moments[place:], ended] if each <= 0), 0) for place in range(len(moments))]
    first_kept = next((place for place, each in enumerate(after) if each >= -24), len(moments))
    assert gone == list(range(first_kept))


@given(st.lists(st.integers(1, 40), max_size=8))
def test_on_a_full_disk_the_oldest_go_until_enough_is_freed(sizes: list[int]) -> None:
    segments = [segment(number, 0, 1, size=size * plan.MEGABYTE) for number, size in enumerate(sizes)]
    gone = plan.giving_way(reversed(segments))
    assert gone == list(range(len(gone)))
    freed = sum(each.size_bytes for each in segments[: len(gone)])
    assert freed >= plan.GIVEN_BYTES or len(gone) == len(segments)
    assert not gone or freed - segments[len(gone) - 1].size_bytes < plan.GIVEN_BYTES


def test_a_segment_is_a_small_part_of_the_bound() -> None:
    assert plan.segment_bytes(1_000_000_000) == 16 << 20
    assert plan.segment_bytes(1_000_000) == 1 << 16
    assert plan.segment_bytes(64_000_000) == 2_000_000
    assert plan.segment_ms(24) == HOUR_MS // 2


def test_only_segments_that_hold_something_of_a_time_are_read() -> None:
    one, two = segment(1, 0, 10), segment(2, 10, 20)
    empty = two._replace(number=3, kept=two.kept._replace(message_count=0))
    assert plan.holding([two, one, empty], 5, 10) == [one]
    assert plan.holding([two, one, empty], 5, 11) == [one, two]


def test_a_segment_ends_by_age_and_by_bytes_and_never_empty() -> None:
    each = segment(1, 0, None)
    assert not plan.is_over(each, plan.segment_ms(24) - 1, 24, 1 << 30)
    assert plan.is_over(each, plan.segment_ms(24), 24, 1 << 30)
    # A clock that was set back ends it, too.
    assert plan.is_over(segment(1, plan.segment_ms(24), None), 0, 24, 1 << 30)
    assert plan.is_over(segment(1, 0, None, size=plan.segment_bytes(0)), 1, 24, 0)
    assert not plan.is_over(each._replace(kept=each.kept._replace(message_count=0)), plan.segment_ms(24), 24, 0)
