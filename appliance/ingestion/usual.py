"""The usual message in one pass: one object in JSON that names what many named before it.

Rules:
- What a message says is told by `payload.py`. Here stands what is plainly usual, and comes to the same there; of
  whatever else nothing is told here, and it is looked at closely there.
- What a message names is its shape: its readings, and those beside the envelope. A shape that is met often gets a
  decoder of its own, which takes plain values under just these names: nothing of it needs to be looked at any more.
- What is remembered changes how long a message takes, and nothing else.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from appliance.ingestion.gathered import METRIC_NAME_LIMIT, TEXT_LIMIT
from appliance.ingestion.payload import ENVELOPE, MILLISECONDS_END, SECONDS_END, YEAR_2000, Tolerances
from appliance.instant import from_text
from appliance.telemetry.model import Report, TimeSource
from broker.message import Message

OFTEN = 8
"""A shape that was met so many times gets its decoder."""
SHAPES_LIMIT = 512
"""Of more shapes all are forgotten: a device that names ever new metrics costs time now and then, and no memory."""
NAMES_LIMIT = 64
"""A shape has at most so many metrics."""
SENDERS_LIMIT = 200_000
"""Of more topics, those are forgotten that were first heard of."""

_DEVICE = TimeSource.DEVICE
_NO_CLOCK = TimeSource.ARRIVAL_NO_CLOCK
_JSON = "application/json"
_NESTED = (dict, list)
_NEEDS_ESCAPE = re.compile(r'["\\\x00-\x1f]')

_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_Counter = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_Text = Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)]
_Plain = float | _Whole | bool | _Text | None
# Each may be left out. A float is no sequence number, but a decoder of whole numbers alone would take 5.0 as one.
_ENVELOPE_FIELDS: Sequence[tuple[str, Any, None]] = (
    ("deviceId", str, None),
    ("timestamp", str | float | _Whole | None, None),
    ("sequence", float | _Counter | None, None),
)

_Names = tuple[frozenset[str] | None, frozenset[str]]
"""Of the readings, None where they do not stand in their own object, and of those beside the envelope."""

_fields_of = msgspec.structs.astuple


class _Shape:
    """The metrics of a message, and what reads such a message."""

    __slots__ = ("decode", "is_nested", "metrics")

    def __init__(self, within: Sequence[str] | None, beside: Sequence[str]) -> None:
        self.metrics = (*(within or ()), *beside)
        self.is_nested = within is not None
        nested = [("readings", _told("Readings", (), within or (), ()))] if self.is_nested else []
        told = _told("Told", _ENVELOPE_FIELDS, beside, nested)
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(told).decode


class _Sender:
    """A topic, the device whose it is, and the shape of what it brings."""

    __slots__ = ("device_id", "other", "shape", "topic")

    def __init__(self, topic: str, device_id: str, shape: _Shape) -> None:
        self.topic = topic
        self.device_id = device_id
        self.shape = shape
        self.other: _Shape | None = None
        """Another one that came last; twice in a row, it is what is expected from then on."""


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
        self._senders: dict[str, _Sender] = {}
        self._shapes: dict[_Names, _Shape] = {}
        self._met: dict[_Names, int] = {}
        """How often the names were met that have no decoder yet."""

    def report(self, message: Message) -> Report | None:
        """The report that a message is, with nothing wrong with it; None when it is not plainly so."""
        sender = self._senders.get(message.topic)
        if sender is None or len(message.payload) > self._payload_bytes:
            return None
        content_type = message.properties.content_type
        if content_type and content_type != _JSON:
            return None
        arrived_at, device_id, shape = message.arrived_at, sender.device_id, sender.shape
        try:
            claimed, stamp, number, *cells = _fields_of(shape.decode(message.payload))
            at = arrived_at if stamp is None else self._moment(stamp, arrived_at)
        except (ValueError, RecursionError):
            # Not in JSON, of another shape, or at a moment that is not taken as it is.
            return None
        if (claimed != device_id and claimed is not None) or number.__class__ is float:
            return None
        if sender.other is not None:
            sender.other = None
        if shape.is_nested:
            within = cells.pop()
            cells[:0] = _fields_of(within)
        return Report(
            message.tenant_id,
            device_id,
            at,
            arrived_at,
            _NO_CLOCK if stamp is None else _DEVICE,
            sender.topic,
            message.client_id,
            dict(zip(shape.metrics, cells, strict=True)),
            number,
        )

    def learn(self, topic: str, device_id: str, told: Mapping[str, Any]) -> None:
        """Take note of the object of a message that was understood: the next one of this topic may be like it."""
        names = _names_of(told)
        if names is None:
            return
        shape = self._shapes.get(names) or self._met_again(names, told)
        if shape is None:
            return
        sender = self._senders.get(topic)
        if sender is None:
            if len(self._senders) >= self._senders_limit:
                del self._senders[next(iter(self._senders))]
            self._senders[topic] = _Sender(topic, device_id, shape)
        elif sender.other is shape:
            sender.shape, sender.other = shape, None
        else:
            sender.other = shape

    def _met_again(self, names: _Names, told: Mapping[str, Any]) -> _Shape | None:
        """The shape of an object, with metrics in its order, once its names were met often enough."""
        count = self._met.get(names, 0) + 1
        if count < OFTEN:
            if len(self._met) >= self._shapes_limit:
                self._met.clear()
            self._met[names] = count
            return None
        self._met.pop(names, None)
        if len(self._shapes) >= self._shapes_limit:
            self._shapes.clear()
            self._senders.clear()
        beside = [name for name in told if name in names[1]]
        shape = self._shapes[names] = _Shape(None if names[0] is None else tuple(told["readings"]), beside)
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


def _told(name: str, before: Sequence[Any], metrics: Sequence[str], after: Sequence[Any]) -> type[msgspec.Struct]:
    """What a decoder makes of an object that has all of these metrics, between other fields, and nothing else."""
    numbered = [f"metric_{number}" for number in range(len(metrics))]
    return msgspec.defstruct(
        name,
        [*before, *((number, _Plain) for number in numbered), *after],
        rename=dict(zip(numbered, metrics, strict=True)),
        kw_only=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def _names_of(told: Mapping[str, Any]) -> _Names | None:
    """What an object names; None when messages like it are not usual."""
    readings = told.get("readings")
    if any(value.__class__ in _NESTED and value is not readings for value in told.values()):
        return None
    beside = frozenset(told) - ENVELOPE
    if "readings" not in told:
        within = None
    elif not isinstance(readings, dict) or any(value.__class__ in _NESTED for value in readings.values()):
        return None
    else:
        within = frozenset(readings)
    metrics = beside | within if within else beside
    is_usual = 0 < len(metrics) <= NAMES_LIMIT and len(metrics) == len(beside) + len(within or ())
    if not is_usual or any(not 0 < len(name) <= METRIC_NAME_LIMIT or _NEEDS_ESCAPE.search(name) for name in metrics):
        return None
    return within, beside
