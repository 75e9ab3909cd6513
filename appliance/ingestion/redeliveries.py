"""The messages of devices without a clock that came before.

A report that is filed under its arrival has no moment that could come again: what is known again is its message.

Rules:
- A PUBLISH with DUP came before if it has the packet identifier and the payload of an earlier one [MQTT-4.4.0-1].
  Without DUP, the same payload is said once more, and is no redelivery.
- Where a sequence number is told, the same number with the same payload came before, as long as the counter counts on:
  it fell back to where it had been since it last began anew. Where it stood then says nothing, for there it begins anew
  again; nor does a number that does not move.
- What memory lost, as in a restart, is looked for among the reports that are not in a day file yet. They are known by
  what they say alone, so that is done only for a PUBLISH with DUP, and only as far back as memory would reach.
- Of each device the newest messages are known, of so many devices at most; of more, those are forgotten that were
  silent for longest.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence

from appliance.ingestion.sequence import begins_anew
from appliance.instant import DAY_MS
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.rows import Identity, identity_of
from broker.message import Message

REMEMBERED = 20
"""Messages of a device: as many as the usual client has unanswered."""
DEVICES_LIMIT = 20_000

Held = Callable[[int, str, int, int, int], Sequence[Identity]]
"""Tells what the newest reports of a tenant's device are known by that were filed under an arrival in a span: so many
at most, as far as memory holds them."""

_DEVICE = TimeSource.DEVICE
_NONE = -1
_PARTS = 3
"""Of a message: sequence number, payload, packet identifier."""


class Recent:
    """The newest messages of one device."""

    __slots__ = ("_first", "_last", "_messages", "_run", "is_repeated", "message", "since")

    def __init__(self, since: int) -> None:
        self.since = since
        """The arrival of the first message that was taken."""
        self.message: Message | None = None
        """The one that was taken last, while its batch is decided."""
        self.is_repeated = False
        """Whether that came before."""
        self._messages = array("q")
        self._run = 0
        """How many of them there are since the counter began anew."""
        self._first = self._last = _NONE
        """Where the counter began, and how far it came."""

    def copy(self) -> "Recent":
        """The same, to go on from."""
        copied = Recent(self.since)
        copied._messages = self._messages[:]
        copied._run, copied._first, copied._last = self._run, self._first, self._last
        return copied

    @property
    def is_full(self) -> bool:
        """Whether as many messages are known as may be."""
        return len(self._messages) == REMEMBERED * _PARTS

    def take(self, message: Message, number: int | None) -> bool:
        """Take a report of a message, with its sequence number; whether the message came before."""
        if self.message is not message:
            self.message = message
            self.is_repeated = self._begin(message, _NONE if number is None else number)
        elif number is not None and not self.is_repeated:
            # One message of several reports, whose numbers may stand in any order.
            self._first = number if self._first == _NONE else min(self._first, number)
            self._last = max(self._last, number)
        return self.is_repeated

    def _begin(self, message: Message, number: int) -> bool:
        payload = hash(message.payload)
        identifier = int.from_bytes(message.packet_identifier, "big")
        if message.is_redelivery and self._has(0, (number, payload, identifier)):
            return True
        if number != _NONE:
            depth = self._last - number
            if self._counts(number, depth) and self._has(-self._run * _PARTS, (number, payload)):
                return True
            # A late number, too, begins anew: what is not known to have come before is not taken for it.
            if self._last == _NONE or depth > 0:
                self._run, self._first = 0, number
            self._last = number
        messages = self._messages
        if len(messages) == REMEMBERED * _PARTS:
            del messages[:_PARTS]
        messages.extend((number, payload, identifier))
        self._run = min(self._run + 1, REMEMBERED)
        return False

    def _counts(self, number: int, depth: int) -> bool:
        """Whether a number lies where the counter has been since it began."""
        return depth >= 0 and self._first < number and not begins_anew(number, depth)

    def _has(self, start: int, parts: Sequence[int]) -> bool:
        """Whether there is a message with these parts, from a place on."""
        messages, wanted = self._messages[start:], array("q", parts)
        width = len(wanted)
        return any(messages[place : place + width] == wanted for place in range(0, len(messages), _PARTS))


class Redeliveries:
    """What is committed of every device."""

    def __init__(self, devices_limit: int = DEVICES_LIMIT) -> None:
        self.held: Held = lambda *_: ()
        """What is asked about reports that came before there was anything to know their messages by."""
        self._devices_limit = devices_limit
        self._devices: dict[tuple[int, str], Recent] = {}

    def overlay(self, earlier: Iterable["Overlay"] = ()) -> "Overlay":
        """The same, for one batch to go on from; `earlier` came before it and is not merged yet, in its order."""
        return Overlay((*[one.devices for one in earlier][::-1], self._devices), self.held)

    def merge(self, overlay: "Overlay") -> None:
        """Take over what a batch brought, after its commit."""
        devices = self._devices
        for key, recent in overlay.devices.items():
            recent.message = None
            if devices.pop(key, None) is None and len(devices) >= self._devices_limit:
                del devices[next(iter(devices))]
            devices[key] = recent
        overlay.devices.clear()


class Overlay:
    """What a batch that is not committed adds."""

    def __init__(self, known: Sequence[Mapping[tuple[int, str], Recent]], held: Held) -> None:
        """Go on from what is known, the newest first."""
        self.devices: dict[tuple[int, str], Recent] = {}
        """What it knows more of; nothing once it is merged."""
        self._known = known
        self._held = held
        self._said: dict[tuple[int, str], set[tuple[object, ...]]] = {}
        """What the newest reports of a device say, of those that came before anything was known of it."""

    def take(self, report: Report, message: Message) -> bool:
        """Take a report that is filed under its arrival; whether it came before."""
        if not message.packet_identifier:
            # At QoS 0 nothing is sent again.
            return False
        key = report.tenant_id, report.device_id
        recent = self.devices.get(key)
        if recent is None:
            known = next((known[key] for known in self._known if key in known), None)
            recent = self.devices[key] = known.copy() if known else Recent(report.arrived_at)
        if recent.take(message, report.sequence):
            return True
        return message.is_redelivery and not recent.is_full and self._is_held(report, recent.since)

    def _is_held(self, report: Report, since: int) -> bool:
        """Whether a report like this one came before there was anything to know its message by."""
        key = report.tenant_id, report.device_id
        said = self._said.get(key)
        if said is None:
            # Once for all messages of a batch: what is remembered meanwhile came after that time.
            said = self._said[key] = {one[1:] for one in self._held(*key, since - DAY_MS, since, REMEMBERED)}
        return identity_of(report)[1:] in said
