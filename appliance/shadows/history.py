"""What a shadow was: its changes, undone from what it is now one after the other."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from appliance.instant import to_text
from appliance.shadows.model import BeforeHistoryError, ChangeKind, Section, Shadow, ShadowChange
from appliance.shadows.undoing import gone_back

_FIRST_VERSION = 1


class WayBack(msgspec.Struct, frozen=True):
    """What makes of a document what it was before a change."""

    state: Section
    metadata: Section
    is_there: bool
    """Whether there was one."""


class KeptChange(msgspec.Struct, frozen=True):
    """A change as it is kept."""

    version: int
    at: int
    author: str
    kind: ChangeKind
    patch: Section
    way_back: WayBack


class Body(msgspec.Struct, frozen=True):
    """The document of a shadow at some moment."""

    state: Section
    metadata: Section
    is_there: bool

    def before(self, change: KeptChange) -> "Body":
        """What it was before that change, the last one."""
        back = change.way_back
        return Body(gone_back(self.state, back.state), gone_back(self.metadata, back.metadata), back.is_there)


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a shadow: what it is, and its changes as far as they have been looked at, the newest first."""

    shadow_number: int
    version: int
    updated_at: int
    body: Body
    changes: Sequence[KeptChange]

    @property
    def next_version(self) -> int:
        """The version that the change before those has made."""
        return self.changes[-1].version - 1 if self.changes else self.version

    def reaches(self, at: int) -> bool:
        """Whether it is known what it was at a moment."""
        return self.updated_at <= at or (bool(self.changes) and self.changes[-1].at <= at)


def continued(kept: Kept, older: Sequence[KeptChange]) -> Kept:
    """The same with the changes before those, as far as they follow without a gap.

    What is behind a gap leads nowhere: not every change between was kept.
    """
    following, version = [], kept.next_version
    for change in older:
        if change.version > version:
            continue  # Of a piece whose newest are known already.
        if change.version != version:
            break
        following.append(change)
        version -= 1
    return msgspec.structs.replace(kept, changes=[*kept.changes, *following])


def told(kept: Kept, before_version: int | None, limit: int) -> list[ShadowChange]:
    """The changes before a version, or the newest, with what each made of the shadow; the newest first."""
    found: list[ShadowChange] = []
    for change, after, before in _walked(kept):
        if len(found) == limit:
            break
        if before_version is None or change.version < before_version:
            found.append(
                ShadowChange(
                    change.version,
                    change.at,
                    change.author,
                    change.kind,
                    change.patch,
                    *_sections(after),
                    *_sections(before),
                )
            )
    return found


def check_began(kept: Kept, oldest: tuple[int, int] | None) -> None:
    """Raise `BeforeHistoryError` unless a shadow began with its oldest change, of which version and moment are told."""
    if oldest is None or oldest[0] != _FIRST_VERSION:
        raise _unknown_before(kept.updated_at if oldest is None else oldest[1])


def as_of(kept: Kept, device_id: str, name: str, at: int) -> Shadow | None:
    """What a shadow was at a moment; None when there was none. Raises `BeforeHistoryError`."""
    if at >= kept.updated_at:
        return _shadow(kept.body, kept.version, kept.updated_at, device_id, name)
    oldest: KeptChange | None = None
    for change, after, _ in _walked(kept):
        if change.at <= at:
            return _shadow(after, change.version, change.at, device_id, name)
        oldest = change
    if oldest is not None and oldest.version == _FIRST_VERSION:
        return None
    raise _unknown_before(kept.updated_at if oldest is None else oldest.at)


def _unknown_before(begin_at: int) -> BeforeHistoryError:
    told = f"the history of this shadow begins at {to_text(begin_at)}: what it was before is not kept"
    return BeforeHistoryError(told)


def _walked(kept: Kept) -> Iterator[tuple[KeptChange, Body, Body]]:
    """Every change with what was after it and before it."""
    after = kept.body
    for change in kept.changes:
        before = after.before(change)
        yield change, after, before
        after = before


def _shadow(body: Body, version: int, updated_at: int, device_id: str, name: str) -> Shadow | None:
    if not body.is_there:
        return None
    return Shadow(device_id, name, version, *_sections(body), body.metadata, updated_at)


def _sections(body: Body) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    return body.state.get("desired"), body.state.get("reported")
