"""The usual message in one pass: one object in JSON that names what many named before it.

Rules:
- What a message says is told by `payload.py`. Here stands what is plainly usual, and comes to the same there; of
  whatever else nothing is told here, and it is looked at closely there.
- What a message names beside its envelope is its shape. A shape that is met often gets a decoder of its own, which
  takes just these names, and plain values only under them and in `readings`: none needs to be looked at any more.
- Whoever keeps to its readings, too, gets a decoder that takes just these: their names are not read anew each time.
- What is remembered changes how long a message takes, and nothing else.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any

import msgspec

from appliance.ingestion.gathered import METRIC_NAME_LIMIT, TEXT_LIMIT
from appliance.ingestion.payload import ENVELOPE, METRICS_LIMIT, MILLISECONDS_END, SECONDS_END, YEAR_2000, Tolerances
from appliance.instant import from_text
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.naming import relative
from appliance.telemetry.row_shape import Shape, shape_of
from broker.message import Message

OFTEN = 8
"""A shape that was met so many times gets its decoder."""
SHAPES_LIMIT = 512
"""Of more shapes all are forgotten: a device that names ever new metrics costs time now and then, and no memory."""
LEFT_OUT_LIMIT = 1_024
"""So many patterns are not made for want of room; then all are forgotten."""
NAMES_LIMIT = 64
"""A shape has at most so many names."""
SENDERS_LIMIT = 200_000
"""Of more topics, those are forgotten that were first heard of."""

_DEVICE = TimeSource.DEVICE
_NO_CLOCK = TimeSource.ARRIVAL_NO_CLOCK
_JSON = "application/json"
_NESTED = (dict, list)
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f]')

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Counter = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=METRIC_NAME_LIMIT)]
_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]
_Plain = float | _Whole | bool | _Text | None
_ENVELOPE_NAMES = {"device_id": "deviceId"}
_Field = tuple[str, Any, Any]
# Each may be left out. A float is no sequence number, but a decoder of whole numbers alone would take 5.0 as one.
_ENVELOPE_FIELDS: Sequence[_Field] = (
    ("device_id", str, None),
    ("timestamp", str | float | _Whole | None, None),
    ("sequence", float | _Counter | None, None),
)
_Readings = dict[_Name, _Plain]

NOTHING: Mapping[str, Value] = MappingProxyType({})

_Names = tuple[frozenset[str], frozenset[str]]
_BESIDE = len(_ENVELOPE_FIELDS) + 1
_fields_of = msgspec.structs.astuple


class _Shape:
    """What a message names beside its envelope, and what reads such a message."""

    __slots__ = ("decode", "names")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        told = _struct([*_ENVELOPE_FIELDS, ("readings", _Readings, None)], names)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(told).decode


class _Pattern:
    """All that a message names, in `readings` and beside them, what reads such a message, and what packs it."""

    __slots__ = ("_kinds", "_shape", "cells", "decode", "names")

    def __init__(self, within: Sequence[str], beside: Sequence[str]) -> None:
        fields: list[_Field] = list(_ENVELOPE_FIELDS)
        if within:
            fields.append(("readings", _struct([], within), msgspec.NODEFAULT))
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(_struct(fields, beside)).decode
        places = [f"told.readings.field_{number}" for number in range(len(within))]
        places += [f"told.field_{number}" for number in range(len(beside))]
        self.cells = _written(places)
        self.names = (*within, *beside)
        self._kinds: tuple[type, ...] = ()
        self._shape: Shape | None = None

    def shape(self, kinds: tuple[type, ...]) -> Shape | None:
        """What packs a message whose sequence number and values are of these kinds; None where nothing does."""
        if kinds != self._kinds:
            self._kinds, self._shape = kinds, shape_of(self.names, kinds)
        return self._shape


class Sender:
    """A topic, the device whose it is, and the shape of what it brings."""

    __slots__ = (
        "client_id",
        "device_id",
        "expected",
        "other",
        "pattern",
        "relative_client_id",
        "relative_topic",
        "shape",
    )

    def __init__(self, topic: str, device_id: str, shape: _Shape) -> None:
        self.device_id = device_id
        self.relative_topic = relative(topic, device_id)
        self.client_id: str | None = None
        """The one that sent last."""
        self.relative_client_id = ""
        self.shape = shape
        self.other: _Shape | None = None
        """Another one that came last; twice in a row, it is what is expected from then on."""
        self.pattern: _Pattern | None = None
        """What it keeps to; None when its readings come and go."""
        self.expected: _Pattern | None = None
        """The one of the last message; twice in a row, it is what is kept to."""


class Told(msgspec.Struct, gc=False):
    """What a message tells."""

    device_id: str
    topic: str
    """A relative name, as is that of the client."""
    client_id: str
    at: int
    time_source: TimeSource
    shape: Shape | None
    """What packed it; None where nothing does."""
    packed: bytes
    """All that follows, where something packs it."""
    sequence: int | None
    values: Mapping[str, Value]

    def report(self, message: Message) -> Report:
        """The report that the message is."""
        number, values = self.sequence, self.values
        if self.shape is not None:
            _, _, number, values = self.shape.unpacked(self.packed)
        who = (message.tenant_id, self.device_id)
        source, topic, client_id = self.time_source, message.topic, message.client_id
        return Report(*who, self.at, message.arrived_at, source, topic, client_id, values, number)


class Usual:
    """What was usual so far."""

    def __init__(
        self, tolerances: Tolerances, senders_limit: int = SENDERS_LIMIT, shapes_limit: int = SHAPES_LIMIT
    ) -> None:
        self._senders_limit = senders_limit
        self._shapes_limit = shapes_limit
        self._payload_bytes = tolerances.payload_bytes
        self._future_ms = tolerances.future_ms
        self._past_ms = tolerances.past_ms
        self._senders: dict[str, Sender] = {}
        self._shapes: dict[frozenset[str], _Shape] = {}
        self._met: dict[frozenset[str], int] = {}
        """How often the names were met that have no decoder yet."""
        self._patterns: dict[_Names, _Pattern] = {}
        self._followed: dict[_Names, int] = {}
        """How often a pattern was met that has no decoder yet."""
        self._left_out = 0
        """Patterns that were met often enough and have no decoder for want of room."""

    def told(self, message: Message) -> Told | None:
        """What a message tells, with nothing wrong with it; None when it is not plainly so."""
        sender = self._senders.get(message.topic)
        if sender is None or len(message.payload) > self._payload_bytes:
            return None
        content_type = message.properties.content_type
        if content_type and content_type != _JSON:
            return None
        try:
            told = self._read(sender, message)
        except (ValueError, RecursionError):
            # Not in JSON, of another shape, or at a moment that is not taken as it is.
            return None
        sender.other = None
        return told

    def report(self, message: Message) -> Report | None:
        """The report that a message is, with nothing wrong with it; None when it is not plainly so."""
        told = self.told(message)
        return None if told is None else told.report(message)

    def learn(self, topic: str, device_id: str, told: Mapping[str, Any]) -> None:
        """Take note of the object of a message that was understood: the next one of this topic may be like it."""
        if not _is_plain(told):
            return
        names = [name for name in told if name not in ENVELOPE]
        shape = self._shapes.get(frozenset(names)) or self._met_again(names)
        if shape is None:
            return
        sender = self._senders.get(topic)
        if sender is None:
            if len(self._senders) >= self._senders_limit:
                del self._senders[next(iter(self._senders))]
            self._senders[topic] = Sender(topic, device_id, shape)
        elif sender.other is shape:
            sender.shape, sender.other = shape, None
        else:
            sender.other = shape

    def _read(self, sender: Sender, message: Message) -> Told:
        """What a message tells. Raises `ValueError` where that is not plain."""
        arrived_at, pattern = message.arrived_at, sender.pattern
        told: Any = None
        if pattern is not None:
            try:
                told = pattern.decode(message.payload)
            except (ValueError, RecursionError):
                pattern = sender.pattern = sender.expected = None
        if pattern is None:
            told, values = self._told(sender, message.payload)
            names, cells = (*values,), (*values.values(),)
        else:
            names, cells = pattern.names, pattern.cells(told)
        stamp, number, claimed = told.timestamp, told.sequence, told.device_id
        at = arrived_at if stamp is None else self._moment(stamp, arrived_at)
        if (claimed != sender.device_id and claimed is not None) or number.__class__ is float:
            raise ValueError
        if not 0 < len(cells) <= METRICS_LIMIT:
            raise ValueError
        if message.client_id is not sender.client_id:
            sender.client_id = message.client_id
            sender.relative_client_id = relative(message.client_id, sender.device_id)
        device_id, topic, client_id = sender.device_id, sender.relative_topic, sender.relative_client_id
        source = _NO_CLOCK if stamp is None else _DEVICE
        # Of names that come and go, shapes would be many, and more than what they pack.
        shape = None if pattern is None else pattern.shape((number.__class__, *map(type, cells)))
        if shape is None:
            values = dict(zip(names, cells, strict=True))
            return Told(device_id, topic, client_id, at, source, None, b"", number, values)
        packed = shape.pack(at, arrived_at, number or 0, *cells)
        return Told(device_id, topic, client_id, at, source, shape, packed, None, NOTHING)

    def _told(self, sender: Sender, payload: bytes) -> tuple[Any, dict[str, Value]]:
        """What a message of a sender's shape tells, and its values. Raises `ValueError`."""
        shape = sender.shape
        told = shape.decode(payload)
        values: dict[str, Value] | None = told.readings
        beside = _fields_of(told)[_BESIDE:]
        self._expect(sender, values or {})
        if values is None:
            return told, dict(zip(shape.names, beside, strict=True))
        for name, value in zip(shape.names, beside, strict=True):
            if name not in values:
                values[name] = value
        return told, values

    def _expect(self, sender: Sender, within: Collection[str]) -> None:
        """Take note of the names in the readings of a message: the next one may have just these, too."""
        if len(within) > NAMES_LIMIT:
            return
        beside = sender.shape.names
        key = (frozenset(beside), frozenset(within))
        pattern = self._patterns.get(key)
        if pattern is None:
            count = self._followed.get(key, 0) + 1
            if count < OFTEN:
                if len(self._followed) >= self._shapes_limit:
                    self._followed.clear()
                self._followed[key] = count
                return
            self._followed.pop(key, None)
            if not key[0].isdisjoint(within) or not all(map(_may_be_field, within)):
                return
            if len(self._patterns) >= self._shapes_limit and not self._forgets_patterns():
                return
            pattern = self._patterns[key] = _Pattern(list(within), beside)
        if sender.expected is pattern:
            sender.pattern = pattern
        sender.expected = pattern

    def _forgets_patterns(self) -> bool:
        """Whether all patterns were forgotten, of which there are too many. Each takes long to make: that is seldom."""
        self._left_out += 1
        if self._left_out < LEFT_OUT_LIMIT:
            return False
        self._left_out = 0
        self._patterns.clear()
        for sender in self._senders.values():
            sender.pattern = sender.expected = None
        return True

    def _forget(self) -> None:
        self._shapes.clear()
        self._patterns.clear()
        self._senders.clear()

    def _met_again(self, names: Sequence[str]) -> _Shape | None:
        """The shape of these names, once they were met often enough."""
        if len(names) > NAMES_LIMIT or not all(map(_may_be_field, names)):
            return None
        key = frozenset(names)
        count = self._met.get(key, 0) + 1
        if count < OFTEN:
            if len(self._met) >= self._shapes_limit:
                self._met.clear()
            self._met[key] = count
            return None
        self._met.pop(key, None)
        if len(self._shapes) >= self._shapes_limit:
            self._forget()
        shape = self._shapes[key] = _Shape(names)
        return shape

    def _moment(self, stamp: Any, arrived_at: int) -> int:
        """The moment that a stamp tells. Raises `ValueError` where a report is not filed under just this one."""
        if stamp.__class__ is str:
            at = from_text(stamp)
        elif stamp.__class__ is int and SECONDS_END <= stamp < MILLISECONDS_END:
            at = stamp
        else:
            raise ValueError
        if at < YEAR_2000 or not -self._past_ms <= at - arrived_at <= self._future_ms:
            raise ValueError
        return at


def _struct(fields: Sequence[tuple[str, Any, Any]], names: Sequence[str]) -> type[msgspec.Struct]:
    """What takes these fields, and plain values under all of these names, and nothing else."""
    named = {f"field_{number}": name for number, name in enumerate(names)}
    return msgspec.defstruct(
        "Told",
        [*fields, *((field, _Plain) for field in named)],
        rename={**_ENVELOPE_NAMES, **named},
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _written(places: Sequence[str]) -> Callable[[Any], tuple[Value, ...]]:
    """What gives the values in these places of what was told.

    Written out in code it takes half as long as a loop; the names that devices choose are no part of the code.
    """
    written: Callable[[Any], tuple[Value, ...]] = eval(f"lambda told: ({''.join(f'{place}, ' for place in places)})")  # noqa: S307
    return written


def _is_plain(told: Mapping[str, Any]) -> bool:
    """Whether nothing in an object is nested but its readings, and nothing in these."""
    readings = told.get("readings")
    if any(value.__class__ in _NESTED and value is not readings for value in told.values()):
        return False
    if not isinstance(readings, dict):
        return "readings" not in told
    return not any(value.__class__ in _NESTED for value in readings.values())


def _may_be_field(name: str) -> bool:
    """Whether a decoder can look for a name."""
    return 0 < len(name) <= METRIC_NAME_LIMIT and not _NEEDS_ESCAPE.search(name)
