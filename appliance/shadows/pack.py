"""Many changes of a shadow packed into one piece, with the document as it was after the newest of them. Pure.

A piece is JSON, compressed, in base64: it says by itself what the shadow was at any moment between its changes, and
takes about a sixth of what they took.
"""

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.shadows.history import Body, Kept, KeptChange, WayBack, continued
from appliance.shadows.model import ChangeKind, Section

PACKED = "packed"
"""The kind of a piece, where a change has its own; what would be written otherwise needs another word."""
DAMAGED = "damaged"
"""The kind that a row is given whose bytes are no text."""

_LEVEL = 1
"""Of compression: more effort takes a twelfth off a piece, and keeps all who wait for the writer waiting longer."""


class UnreadableError(Exception):
    """What is kept of a history is damaged."""


class StoredChange(msgspec.Struct, frozen=True, gc=False):
    """A row of the history: one change, or a piece of many, which has the version and the moment of the oldest."""

    version: int
    at: int
    author: str
    kind: str
    patch: str
    """Of a piece, its label."""
    way_back: str
    """Of a piece, the piece itself."""

    @property
    def is_packed(self) -> bool:
        """Whether it is a piece."""
        return self.kind == PACKED


class Label(msgspec.Struct, frozen=True):
    """What can be known of a piece without reading it."""

    newest_version: int
    newest_at: int
    byte_count: int
    """Of the piece."""
    odometer: int
    """Bytes of all pieces that the shadow ever had, this one too: two of them tell what lies between."""


class Loose(msgspec.Struct, frozen=True, gc=False):
    """Changes of a shadow that follow each other and are not packed."""

    count: int
    oldest_version: int
    newest_version: int
    oldest_at: int
    newest_at: int
    byte_count: int
    listed: bytes
    """All of them as JSON: an array of version, moment, author, kind, patch and way back for each. It may be damaged:
    nobody has looked at it."""


class _Written(msgspec.Struct, frozen=True, gc=False):
    state: Section
    metadata: Section
    is_there: bool
    changes: msgspec.Raw


_Listed = list[tuple[int, int, str, ChangeKind, Section, WayBack]]


class _Read(msgspec.Struct, frozen=True):
    state: Section
    metadata: Section
    is_there: bool
    changes: _Listed


_READ = msgspec.json.Decoder(_Read)
_LISTED = msgspec.json.Decoder(_Listed)
_LABEL = msgspec.json.Decoder(Label)
_SECTION = msgspec.json.Decoder(dict[str, Any])
_WAY_BACK = msgspec.json.Decoder(WayBack)
_encode = msgspec.json.Encoder().encode


def stored(version: int, at: int, author: bytes, kind: bytes, patch: bytes, way_back: bytes) -> StoredChange:
    """A row as it lies on the disk. One whose bytes are no text is damaged, and says nothing more."""
    try:
        return StoredChange(version, at, author.decode(), kind.decode(), patch.decode(), way_back.decode())
    except UnicodeDecodeError:
        return StoredChange(version, at, "", DAMAGED, "", "")


def packed(listed: bytes, after: Body) -> str:
    """The piece of changes that are listed; `after` is what the newest has made of the shadow."""
    data = _encode(_Written(after.state, after.metadata, after.is_there, msgspec.Raw(listed)))
    return base64.b64encode(zlib.compress(data, _LEVEL)).decode()


def unlisted(loose: Loose, newest_version: int) -> list[KeptChange]:
    """The changes that are listed, the newest first. Raises `UnreadableError` where one is missing up to a version."""
    try:
        changes = _kept(_LISTED.decode(loose.listed))
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableError("changes that are not packed yet are damaged") from error
    if [one.version for one in changes] != list(range(newest_version, newest_version - loose.count, -1)):
        raise UnreadableError("of the changes that are not packed yet some are missing")
    return changes


def undone(changes: Sequence[KeptChange], after: Body) -> Body:
    """What a shadow was before changes that have made this of it, the newest first."""
    for change in changes:
        after = after.before(change)
    return after


def label(stored: StoredChange) -> Label:
    """The label of a piece. Raises `UnreadableError`."""
    try:
        return _LABEL.decode(stored.patch)
    except msgspec.MsgspecError as error:
        raise UnreadableError(f"the label of version {stored.version} is damaged") from error


def labelled(written: Label) -> str:
    """A label as it is written."""
    return _encode(written).decode()


def changes(stored: StoredChange) -> list[KeptChange]:
    """The changes of a row, the newest first. Raises `UnreadableError`."""
    if stored.is_packed:
        return _kept(_piece(stored).changes)
    try:
        kind = ChangeKind(stored.kind)
        patch, back = _SECTION.decode(stored.patch), _WAY_BACK.decode(stored.way_back)
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnreadableError(f"the change to version {stored.version} is damaged") from error
    return [KeptChange(stored.version, stored.at, stored.author, kind, patch, back)]


def kept(shadow_number: int, stored: StoredChange) -> Kept:
    """A shadow as it was after the newest change of a piece, with those of the piece. Raises `UnreadableError`."""
    told, piece = label(stored), _piece(stored)
    body = Body(piece.state, piece.metadata, piece.is_there)
    # A piece may have been made of changes between which some were never kept.
    return continued(Kept(shadow_number, told.newest_version, told.newest_at, body, ()), _kept(piece.changes))


def _piece(stored: StoredChange) -> _Read:
    try:
        return _READ.decode(zlib.decompress(base64.b64decode(stored.way_back)))
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise UnreadableError(f"the changes from version {stored.version} on are damaged") from error


def _kept(listed: _Listed) -> list[KeptChange]:
    return [KeptChange(*one) for one in sorted(listed, key=lambda one: -one[0])]
