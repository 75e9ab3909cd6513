"""The live packet log of one client: what came and went, for a person who looks.

A client that nobody looks at pays one comparison for it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import msgspec

from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReturnCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from broker.ports import PacketObserver, Principal
from broker.reason_codes import ReasonCode

if TYPE_CHECKING:
    from broker.client import Client


class TraceEntry(msgspec.Struct, frozen=True):
    """One packet. Payloads are counted, never shown."""

    at: int
    """UTC milliseconds."""
    is_from_client: bool
    type: str
    topic: str
    """Of a PUBLISH; the topic filters of a SUBSCRIBE or UNSUBSCRIBE."""
    size_bytes: int
    """Of the payload of a PUBLISH; 0 for other packets."""
    detail: str
    """QoS and flags, packet identifier, reason codes."""


class Watcher(Protocol):
    """Looks at the packets of one connection."""

    def received(self, packet: Packet) -> None:
        """Look at a packet of the client."""

    def sent(self, packet: Packet) -> None:
        """Look at a packet for the client."""


class Trace:
    """Turns packets of one client into entries."""

    def __init__(self, sink: Callable[[TraceEntry], None], clock: Callable[[], int]) -> None:
        """`sink` takes each entry at once and never waits."""
        self._sink = sink
        self._clock = clock

    def received(self, packet: Packet) -> None:
        """Note a packet of the client."""
        self._note(packet, is_from_client=True)

    def sent(self, packet: Packet) -> None:
        """Note a packet for the client."""
        self._note(packet, is_from_client=False)

    def _note(self, packet: Packet, *, is_from_client: bool) -> None:
        size = len(packet.payload) if isinstance(packet, Publish) else 0
        kind = type(packet).__name__.upper()
        self._sink(TraceEntry(self._clock(), is_from_client, kind, _topic(packet), size, _detail(packet)))


def _topic(packet: Packet) -> str:
    match packet:
        case Publish():
            return packet.topic
        case Subscribe():
            return ", ".join(request.topic_filter for request in packet.requests)
        case Unsubscribe():
            return ", ".join(packet.topic_filters)
        case Connect():
            return packet.client_id
        case _:
            return ""


def _detail(packet: Packet) -> str:
    match packet:
        case Publish():
            marks = [f"QoS {packet.qos}"]
            marks += ["retain"] if packet.retain else []
            marks += ["again"] if packet.duplicate else []
            marks += [f"id {packet.packet_id}"] if packet.packet_id else []
            return ", ".join(marks)
        case Connect():
            return f"level {packet.protocol_level}, keep alive {packet.keep_alive_s} s"
        case Connack() if 0 < packet.code < ReasonCode.UNSPECIFIED_ERROR:
            # A return code of 3.1.1: MQTT 5 refuses with none as low.
            return f"code {packet.code:#04x}, {ReturnCode(packet.code).name.lower()}"
        case Connack() | Disconnect():
            return f"code {packet.code:#04x}{_reason(packet.code)}"
        case _:
            return _detail_of_exchange(packet)


def _detail_of_exchange(packet: Packet) -> str:
    match packet:
        case Puback() | Pubrec() | Pubrel() | Pubcomp():
            return f"id {packet.packet_id}{_reason(packet.code)}"
        case Subscribe():
            return f"id {packet.packet_id}, QoS {', '.join(str(request.qos) for request in packet.requests)}"
        case Suback() | Unsuback():
            return f"id {packet.packet_id}, {', '.join(f'{code:#04x}' for code in packet.codes)}"
        case Unsubscribe():
            return f"id {packet.packet_id}"
        case _:
            return ""


def _reason(code: int) -> str:
    if not code:
        return ""
    return f", {ReasonCode(code).kind}" if code in ReasonCode.__members__.values() else f", {code:#04x}"


class Tap:
    """Shows the packets of one client to an observer of packets."""

    def __init__(self, observer: PacketObserver, client: "Client") -> None:
        self._observer = observer
        self._client = client

    def received(self, packet: Packet) -> None:
        """Show a packet of the client."""
        self._observer.packet_received(self._principal, self._client.claimed_id, packet)

    def sent(self, packet: Packet) -> None:
        """Show a packet that was sent to it."""
        self._observer.packet_sent(self._principal, self._client.claimed_id, packet)

    @property
    def _principal(self) -> Principal | None:
        session = self._client.session
        return None if session is None else session.principal
