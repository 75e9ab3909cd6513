"""The nouns of the raw journal."""

from collections.abc import Container
from typing import NamedTuple, Self

import msgspec

from appliance.health import Status
from appliance.telemetry.packing import ChunkError
from broker.message import Message


class RawMessage(NamedTuple):
    """A message as it came."""

    tenant_id: int
    principal: str
    """Whose rights it was published with: for devices the device's own id."""
    client_id: str
    topic: str
    payload: bytes
    content_type: str
    """Empty when the message did not say."""
    qos: int
    retain: bool
    arrived_at: int
    """UTC milliseconds."""
    log_id: int
    """The newest log id when it was committed: whatever was understood of it has this one or a lower one."""

    @classmethod
    def of(cls, message: Message, log_id: int) -> Self:
        """A message as the broker hands it over; `log_id` as above."""
        return cls(
            tenant_id=message.tenant_id,
            principal=message.principal,
            client_id=message.client_id,
            topic=message.topic,
            payload=message.payload,
            content_type=message.properties.content_type or "",
            qos=message.qos,
            retain=message.retain,
            arrived_at=message.arrived_at,
            log_id=log_id,
        )

    def is_of(self, devices: Container[str]) -> bool:
        """Whether one of these devices sent it, or it is on a topic of one of them."""
        return self.principal in devices or self.topic_device in devices

    @property
    def topic_device(self) -> str:
        """The device whose topic it is on; empty for every other topic."""
        room, _, rest = self.topic.partition("/")
        return rest.partition("/")[0] if room == "sensors" else ""


class Standing(NamedTuple):
    """Where a message stands in the journal, whatever its arrival."""

    segment: int
    number: int
    """Among all of the segment, from 1."""


class StandingMessage(NamedTuple):
    """A message and where it stands."""

    standing: Standing
    message: RawMessage


class Kept(NamedTuple):
    """What a segment holds, told by its own bytes."""

    begun_at: int
    """What arrived from here on is in this one or in later ones, or in the one that it goes on from."""
    is_continued: bool
    """Whether the segment before it was written by the same gateway up to this one without a break."""
    whole_until: int | None
    """All that arrived before is in it or in those before; None when it was never ended, for power or gateway died."""
    first_at: int
    last_at: int
    """Between these lie the arrivals of its messages."""
    message_count: int


class Segment(NamedTuple):
    """A file of the journal."""

    number: int
    size_bytes: int
    kept: Kept


class Span(NamedTuple):
    """A time of which the journal has everything: `start <= arrived_at < end`."""

    start: int
    end: int


class Usage(msgspec.Struct, frozen=True):
    """How it stands with the journal."""

    is_on: bool
    is_writing: bool
    """False as well while the disk does not take it."""
    segment_count: int
    size_bytes: int
    limit_bytes: int
    hours: int
    begun_at: int | None
    """From here on it has everything up to now; None when it has nothing now."""
    trouble: str

    def status(self, damage_count: int) -> Status:
        """What the journal says of itself."""
        details = {"segments": self.segment_count, "size_bytes": self.size_bytes, "damaged": damage_count}
        if self.trouble:
            return Status(ok=False, summary=self.trouble, details=details, is_serving=True)
        if damage_count:
            summary = "a part of the raw journal was damaged; the log names it"
            return Status(ok=False, summary=summary, details=details, is_serving=True)
        summary = "messages are kept as they came" if self.is_on else "messages are not kept as they came"
        return Status(ok=True, summary=summary, details=details)


class BrokenOffError(ChunkError):
    """What was read of the journal ends before it should: a segment went meanwhile, or was damaged."""

    code = "journal_broken_off"
