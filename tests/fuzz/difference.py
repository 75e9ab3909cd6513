"""In what two brokers differ: what each connection saw, without what is a broker's own choice."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from broker.codec import Decoder
from broker.packets import (
    Connack,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
)
from tests.fuzz.playing import Script, Seen, whole

_FAULT = 0x80
_EXACTLY_ONCE = 2
Told = tuple[Any, ...]
"""What an answer says, as far as it is compared."""


@dataclass(frozen=True)
class Difference:
    """The first step of a script at which the brokers differ, and in what."""

    script: Script
    index: int
    kind: str
    """`answers`, `order` (of answers), `deliveries`, `closed`, or `fault`."""
    who: int
    ours: tuple[Told, ...]
    theirs: tuple[Told, ...]

    @property
    def sent(self) -> list[Packet]:
        """What the step sent, as far as it can be read."""
        return self.sent_by(self.index)

    def sent_by(self, index: int) -> list[Packet]:
        """What another step sent."""
        return Decoder(protocol_level=self.script.level).feed(whole(self.script.steps[index].data)[0])

    @property
    def sent_so_far(self) -> Iterator[Packet]:
        """What all steps up to this one sent."""
        for index in range(self.index + 1):
            yield from self.sent_by(index)

    @property
    def reason(self) -> str:
        """What our decoder says against what the step sent."""
        decoder = Decoder(protocol_level=self.script.level)
        decoder.feed(whole(self.script.steps[self.index].data)[0])
        return decoder.failure.reason if decoder.failure else ""


def differences(script: Script, index: int, ours: tuple[Seen, ...], theirs: tuple[Seen, ...]) -> Iterator[Difference]:
    """In what the two differ in one step; first whether connections are open."""
    for our, their in zip(ours, theirs, strict=True):
        for kind, our_part, their_part in _parts(our, their):
            if our_part != their_part:
                yield Difference(script, index, kind, our.who, our_part, their_part)


def _parts(our: Seen, their: Seen) -> Iterator[tuple[str, tuple[Told, ...], tuple[Told, ...]]]:
    yield "fault", ((our.fault,),), ((their.fault,),)
    yield "closed", (_end(our),), (_end(their),)
    # What was on its way to a connection when it was closed may be lost with it.
    if not our.is_closed and not their.is_closed:
        # PUBREL comes with each delivery at QoS 2: those are compared, and the moment of each is the broker's choice.
        has_handshakes = any(packet.qos == _EXACTLY_ONCE for packet in (*our.deliveries, *their.deliveries))
        told, told_by_them = (_told(seen, with_releases=not has_handshakes) for seen in (our, their))
        yield "answers", told, told_by_them
        if told == told_by_them:
            yield "order", _handshakes(our), _handshakes(their)
        yield "deliveries", _delivered(our), _delivered(their)


def _end(seen: Seen) -> Told:
    return ("closed" if seen.is_closed else "silent" if seen.is_silent else "open",)


def _told(seen: Seen, *, with_releases: bool) -> tuple[Told, ...]:
    """Sorted by kind only: of one kind they must be in order [MQTT-4.6.0-2, MQTT-4.6.0-3]."""
    answers = [packet for packet in seen.answers if with_releases or not isinstance(packet, Pubrel)]
    return tuple(sorted((_answer(packet) for packet in answers), key=lambda told: str(told[0])))


def _handshakes(seen: Seen) -> tuple[Told, ...]:
    """Of each message of QoS 2: what it was answered, in order [4.3.3]."""
    answers = [packet for packet in seen.answers if isinstance(packet, Pubrec | Pubcomp)]
    return tuple(_answer(packet) for packet in sorted(answers, key=lambda packet: packet.packet_id))


def _answer(packet: Packet) -> Told:
    """An answer without what brokers may choose: reason strings, limits, which of several faults it is."""
    match packet:
        case Connack(session_present, code, properties):
            return "CONNACK", session_present, code >= 1, properties.assigned_client_id is not None
        case Puback(packet_id, code) | Pubrec(packet_id, code):
            return type(packet).__name__.upper(), packet_id, code if code < _FAULT else "refused"
        case Pubcomp(packet_id):
            return "PUBCOMP", packet_id
        case Pubrel():
            # Of a delivery, whose identifier the broker chose.
            return ("PUBREL",)
        case Suback(packet_id, codes) | Unsuback(packet_id, codes):
            told = [code if code < _FAULT else "refused" for code in codes]
            return type(packet).__name__.upper(), packet_id, *told
        case _:
            return (type(packet).__name__.upper(),)


def _delivered(seen: Seen) -> tuple[Told, ...]:
    """Sorted by topic and QoS only: of one topic and QoS they must be in order [MQTT-4.6.0-6]."""
    return tuple(sorted((_delivery(packet) for packet in seen.deliveries), key=lambda told: (told[0], told[2])))


def _delivery(packet: Publish) -> Told:
    told = packet.properties
    return (
        packet.topic,
        packet.payload,
        packet.qos,
        packet.retain,
        told.content_type or "",
        told.response_topic or "",
        told.correlation_data or b"",
        told.payload_format_indicator or 0,
        told.message_expiry_s is not None,
        told.user_properties,
        tuple(sorted(told.subscription_identifiers)),
    )
