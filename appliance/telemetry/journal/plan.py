"""Which segments go, and of which times the journal has everything."""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from appliance.instant import HOUR_MS
from appliance.telemetry.journal.model import Segment, Span

MEGABYTE = 1 << 20
SEGMENT_SHARE = 32
"""A segment takes such a share of the bytes that all may take, so that little goes at a time."""
SMALLEST_BYTES = 1 << 16
LARGEST_BYTES = 16 * MEGABYTE
AGE_SHARE = 48
"""The same of the hours: half an hour of a day."""
GIVEN_BYTES = 64 * MEGABYTE
"""So much is given up at once on a full disk, if there is so much."""


def segment_bytes(limit_bytes: int) -> int:
    """At how many bytes the next segment begins."""
    return max(SMALLEST_BYTES, min(LARGEST_BYTES, limit_bytes // SEGMENT_SHARE))


def piece_bytes(limit_bytes: int) -> int:
    """How much is packed into one block, about."""
    return min(MEGABYTE, segment_bytes(limit_bytes))


def segment_ms(hours: int) -> int:
    """After how long the next segment begins."""
    return hours * HOUR_MS // AGE_SHARE


def is_over(segment: Segment, now: int, hours: int, limit_bytes: int) -> bool:
    """Whether the segment that is written ends now."""
    is_old = abs(now - segment.kept.begun_at) >= segment_ms(hours)
    return bool(segment.kept.message_count) and (is_old or segment.size_bytes >= segment_bytes(limit_bytes))


def due(segments: Sequence[Segment], now: int, hours: int, room_bytes: int, ended_at: int | None = None) -> list[int]:
    """The numbers of the segments that go, of those that nothing is written to: the oldest, by age and by bytes.

    All that is left takes `room_bytes` at most. At `ended_at` the last of them was there already; None for now.
    """
    gone = []
    left = sum(each.size_bytes for each in segments)
    for each, moment in _moments(segments, now, now if ended_at is None else min(now, ended_at)):
        if left > room_bytes or moment < now - hours * HOUR_MS:
            gone.append(each.number)
            left -= each.size_bytes
        else:
            break
    return gone


def _moments(segments: Iterable[Segment], now: int, ended_at: int) -> list[tuple[Segment, int]]:
    """The segments in their order, each with when the last of it came."""
    found = []
    for each in sorted(segments, reverse=True):
        moment = max(each.kept.last_at, each.kept.begun_at)
        # The clock was set back since: no later than what was written after it.
        ended_at = moment if moment <= now else ended_at
        found.append((each, ended_at))
    return found[::-1]


def giving_way(segments: Iterable[Segment]) -> list[int]:
    """The numbers of the segments that go at once when the disk is full: the oldest, as many as make a difference."""
    ordered = sorted(segments)
    freed = accumulate((each.size_bytes for each in ordered), initial=0)
    return [each.number for each, before in zip(ordered, freed, strict=False) if before < GIVEN_BYTES]


def spans(segments: Iterable[Segment]) -> list[Span]:
    """The times of which the journal has everything, in the order of the segments."""
    found: list[Span] = []
    is_open, before = False, -1
    for each in sorted(segments):
        kept = each.kept
        # Of what was cut off nobody knows what stood there: it is whole up to the last arrival that is seen.
        end = kept.last_at if kept.whole_until is None else kept.whole_until
        if is_open and kept.is_continued and each.number == before + 1:
            found[-1] = Span(found[-1].start, max(found[-1].end, end))
        else:
            # Of what goes on from one that is gone, the first millisecond may have been in that one, too.
            start = kept.begun_at + kept.is_continued
            found.append(Span(start, max(start, end)))
        is_open, before = kept.whole_until is not None, each.number
    return found


def has_whole(segments: Iterable[Segment], start: int, end: int) -> bool:
    """Whether the journal has everything that arrived with `start <= arrived_at < end`."""
    return any(span.start <= start and end <= span.end for span in spans(segments))


def holding(segments: Iterable[Segment], start: int, end: int, first_number: int = 0) -> list[Segment]:
    """The segments from a number on in which anything of a time can be, in their order."""
    return [
        each
        for each in sorted(segments)
        if each.number >= first_number
        and each.kept.message_count
        and each.kept.first_at < end
        and each.kept.last_at >= start
    ]
