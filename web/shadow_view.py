"""A shadow and its history as a page shows them: documents as text, and what differs line by line. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from appliance.instant import SECOND_MS
from appliance.shadows import difference, draft
from appliance.shadows.difference import Kind, PathChange
from appliance.shadows.model import ChangeKind, Shadow, ShadowChange

LINES_LIMIT = 100
"""More lines of one difference, or moments of one section, are counted, not shown."""
LISTED_LINES = 25
"""The same of each difference in a list of changes: every line of a page takes the time of everybody."""
VALUE_LENGTH = 200

SIGNS: Mapping[Kind, str] = {Kind.ADDED: "+", Kind.REMOVED: "\u2212", Kind.CHANGED: "~"}


class DiffLine(msgspec.Struct, frozen=True):
    """One value that is another."""

    kind: Kind
    path: str
    before: str
    after: str

    @property
    def sign(self) -> str:
        """What stands before the line, for those who do not see its colour."""
        return SIGNS[self.kind]


class Diff(msgspec.Struct, frozen=True):
    """What differs between two documents."""

    lines: tuple[DiffLine, ...] = ()
    more_count: int = 0
    """How many lines are not shown."""

    @property
    def line_count(self) -> int:
        """Those that are not shown, too."""
        return len(self.lines) + self.more_count


class LeafTime(msgspec.Struct, frozen=True):
    """When a value was set."""

    path: str
    at: int


class Times(msgspec.Struct, frozen=True):
    """When the values of a section were set."""

    shown: tuple[LeafTime, ...] = ()
    more_count: int = 0
    """How many are not shown."""


class Documents(msgspec.Struct, frozen=True):
    """What a shadow holds; of a shadow that is not there, nothing."""

    device_id: str
    name: str
    is_there: bool
    desired: str = ""
    reported: str = ""
    delta: str = ""
    differs: Diff = Diff()
    """What is desired, and reported otherwise or not at all."""
    desired_times: Times = Times()
    reported_times: Times = Times()


class ChangeView(msgspec.Struct, frozen=True):
    """One change of a history."""

    version: int
    at: int
    author: str
    is_deletion: bool
    desired: Diff
    reported: Diff
    may_restore: bool
    """Whether what was desired after it is something else than what is desired now."""

    @property
    def words(self) -> str:
        """What was done, in short."""
        if self.is_deletion:
            return "deleted"
        counts = [
            f"{told.line_count} {section}"
            for section, told in (("desired", self.desired), ("reported", self.reported))
            if told.line_count
        ]
        return ", ".join(counts) or "nothing changed"


def documents(device_id: str, name: str, shadow: Shadow | None) -> Documents:
    """What a shadow holds."""
    if shadow is None:
        return Documents(device_id, name, is_there=False)
    delta = shadow.delta
    return Documents(
        device_id,
        name,
        is_there=True,
        desired=_text(shadow.desired),
        reported=_text(shadow.reported),
        delta=_text(delta),
        differs=_diff(_differing(delta, shadow.reported)),
        desired_times=_times(shadow.desired, shadow.metadata.get("desired")),
        reported_times=_times(shadow.reported, shadow.metadata.get("reported")),
    )


def history(changes: Sequence[ShadowChange], now_desired: Mapping[str, Any] | None) -> list[ChangeView]:
    """Changes as a page lists them; `now_desired` is what is desired now."""
    return [
        ChangeView(
            change.version,
            change.at,
            change.author,
            change.kind is ChangeKind.DELETED,
            diff(change.desired_before, change.desired, LISTED_LINES),
            diff(change.reported_before, change.reported, LISTED_LINES),
            may_restore=bool(change.desired) and not difference.is_same(change.desired, now_desired),
        )
        for change in changes
    ]


def diff(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, lines_limit: int = LINES_LIMIT) -> Diff:
    """What makes the one of the other."""
    return _diff(difference.differences(before, after), lines_limit)


def times(state: Mapping[str, Any] | None, metadata: Any) -> Iterator[LeafTime]:
    """When each value of a section was set, as far as it is known."""
    for path, _ in difference.leaves(state):
        second = _second(_at(metadata, path))
        if second is not None:
            yield LeafTime(difference.written(path), second * SECOND_MS)


def _times(state: Mapping[str, Any] | None, metadata: Any) -> Times:
    found = list(times(state, metadata))
    return Times(tuple(found[:LINES_LIMIT]), max(len(found) - LINES_LIMIT, 0))


def _differing(delta: Mapping[str, Any] | None, reported: Mapping[str, Any] | None) -> Iterator[PathChange]:
    """What is desired beside what is reported. Whatever is reported besides concerns nobody here."""
    for path, value in difference.leaves(delta):
        there = _at(reported, path)
        kind = Kind.ADDED if there is None else Kind.CHANGED
        yield PathChange(path, kind, there, value)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """What stands at a path; None when nothing does. No document holds a null of its own."""
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return None
        value = value[key]
    return value


def _second(stamp: Any) -> int | None:
    """The newest second of a stamp: an array has one for each element."""
    match stamp:
        case {"timestamp": int(second)}:
            return second
        case list():
            return max((found for found in map(_second, stamp) if found is not None), default=None)
        case dict():
            return max((found for found in map(_second, stamp.values()) if found is not None), default=None)
        case _:
            return None


def _diff(changes: Iterator[PathChange] | Sequence[PathChange], lines_limit: int = LINES_LIMIT) -> Diff:
    found = list(changes)
    shown = tuple(
        DiffLine(
            one.kind,
            difference.written(one.path),
            "" if one.kind is Kind.ADDED else _value(one.before),
            "" if one.kind is Kind.REMOVED else _value(one.after),
        )
        for one in found[:lines_limit]
    )
    return Diff(shown, len(found) - len(shown))


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


def _text(section: Mapping[str, Any] | None) -> str:
    return draft.written(section) if section else ""
