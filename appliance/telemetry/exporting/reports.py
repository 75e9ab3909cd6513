"""The reports of one device in the order of time, whole, each once; so many at a time as memory is there for.

What is looked through are moments, which take little. Only the reports that are given are made.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from heapq import nsmallest
from itertools import groupby
from operator import attrgetter, itemgetter

import msgspec

from appliance.telemetry.exporting.model import Stretch
from appliance.telemetry.merge import Part, Place
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Identity, Rows
from appliance.telemetry.wanted import Check

STRETCH_REPORTS = 2_000
"""At most so many reports are given at once,"""
STRETCH_CHARACTERS = 4_000_000
"""and about so much text, but always one report."""

_VALUE_CHARACTERS = 8
"""What a value that is no text counts, beside its name."""


def stretch(check: Check, parts: Sequence[Part], start: int, skip: int, end: int) -> Stretch:
    """The first reports with `start <= at < end`, but for so many of the first moment that were given before.

    One that was delivered twice (same moment, sequence number and values) counts once, the first. The reports of a
    moment stay together, unless they alone are too many.
    """
    check()
    ordered = sorted(parts, key=attrgetter("last_log_id"))
    # One more than are given: where it goes on.
    places = nsmallest(skip + STRETCH_REPORTS + 1, _places(check, ordered, start, end))
    is_all = len(places) <= skip + STRETCH_REPORTS
    # Of what was given of the moment, something may have been erased since.
    skip = min(skip, bisect_left(places, (start + 1,)))
    upto = len(places) if is_all else _together(places, skip)
    found: list[Report] = []
    character_count = 0
    for index, report in _each_once(check, ordered, places[:upto], skip):
        more = _characters(report)
        if found and character_count + more > STRETCH_CHARACTERS:
            upto = index
            break
        found.append(report)
        character_count += more
    if upto == len(places):
        return Stretch(found, character_count, None)
    at = places[upto][0]
    return Stretch(found, character_count, (at, upto - bisect_left(places, (at,))))


def at_moments(check: Check, parts: Sequence[Part], moments: Collection[int]) -> list[Report]:
    """The reports of these moments, in no order."""
    found: list[Report] = []
    for part in parts:
        check()
        chosen = bytes(at in moments for at in part.at)
        if any(chosen):
            found += part.whole().reports(chosen)
    return found


def only(reports: Sequence[Report], metrics: Collection[str]) -> list[Report]:
    """The same with the readings of these metrics alone; reports that have none of them are left out."""
    found = []
    for report in reports:
        values = {metric: value for metric, value in report.values.items() if metric in metrics}
        if values:
            found.append(msgspec.structs.replace(report, values=values))
    return found


def _places(check: Check, parts: Sequence[Part], start: int, end: int) -> Iterator[Place]:
    for number, part in enumerate(parts):
        check()
        for row, at in enumerate(part.at):
            if start <= at < end:
                yield at, number, row


def _together(places: Sequence[Place], skip: int) -> int:
    """How many of too many places are given, so that the reports of a moment stay together if they can."""
    begins = bisect_left(places, (places[-1][0],))
    return begins if begins > skip else len(places) - 1


def _each_once(check: Check, parts: Sequence[Part], places: Sequence[Place], skip: int) -> Iterator[tuple[int, Report]]:
    """The reports of places but the first few, and where among the places each stands; without redeliveries."""
    wholes = _wholes(check, parts, {number for _, number, _ in places})
    kept = [index for index in _distinct(wholes, places) if index >= skip]
    made = _made(wholes, [places[index] for index in kept])
    return ((index, made[places[index][1:]]) for index in kept)


def _wholes(check: Check, parts: Sequence[Part], numbers: Iterable[int]) -> dict[int, Rows]:
    wholes: dict[int, Rows] = {}
    for number in numbers:
        check()
        wholes[number] = parts[number].whole()
    return wholes


def _distinct(wholes: Mapping[int, Rows], places: Sequence[Place]) -> Iterator[int]:
    """Which of the places have reports that none before them has."""
    index = 0
    for _, same in groupby(places, itemgetter(0)):
        moment = list(same)
        if len(moment) == 1:
            yield index
        else:
            yield from (index + which for which in _distinct_of_moment(wholes, moment))
        index += len(moment)


def _distinct_of_moment(wholes: Mapping[int, Rows], places: Sequence[Place]) -> Iterator[int]:
    # A moment may have very many reports: of what was seen, numbers are kept, which take little.
    seen: dict[int, Place] = {}
    for which, place in enumerate(places):
        identity = _identity(wholes, place)
        first = seen.setdefault(hash(identity), place)
        if first is place or _identity(wholes, first) != identity:
            yield which


def _identity(wholes: Mapping[int, Rows], place: Place) -> Identity:
    _, number, row = place
    return wholes[number].identity(row)


def _made(wholes: Mapping[int, Rows], places: Sequence[Place]) -> dict[tuple[int, int], Report]:
    """Reports by part and row."""
    rows: dict[int, list[int]] = {}
    for _, number, row in places:
        rows.setdefault(number, []).append(row)
    made: dict[tuple[int, int], Report] = {}
    for number, wanted in rows.items():
        wanted.sort()
        chosen = bytearray(wholes[number].count)
        for row in wanted:
            chosen[row] = True
        made.update(zip(((number, row) for row in wanted), wholes[number].reports(chosen), strict=True))
    return made


def _characters(report: Report) -> int:
    return sum(
        len(metric) + (len(value) if isinstance(value, str) else _VALUE_CHARACTERS)
        for metric, value in report.values.items()
    )
