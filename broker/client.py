"""One network connection: its packets in their order, and what is written to it."""

from collections.abc import Iterator

from broker.answering import PUBACK_BYTES, acknowledged, answered, take_alone
from broker.changes import Delivery
from broker.codec import PINGRESP, Decoder
from broker.encode import encode
from broker.errors import ProtocolError
from broker.exchange import NOTED_BYTES, Exchange
from broker.message import Message
from broker.outgoing import Outgoing
from broker.packets import (
    NO_PROPERTIES,
    V5,
    Auth,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Unsubscribe,
)
from broker.permissions import Undecided
from broker.ports import Credentials, Denied, Principal, Stream
from broker.publisher import Publisher
from broker.reason_codes import ReasonCode
from broker.receipt import Receipt
from broker.session import Session
from broker.taker import Taker
from broker.trace import Watcher

_AT_QOS_0 = 0x30


class Client:
    """What the broker keeps for one network connection."""

    __slots__ = (
        "_exchange",
        "_is_held",
        "_outgoing",
        "_publisher",
        "_read_bytes",
        "_read_packets",
        "_stalled",
        "_taker",
        "_watchers",
        "admitted",
        "asked_version",
        "assigned_id",
        "candidate",
        "claimed_id",
        "connection",
        "credentials",
        "decoder",
        "ended_by",
        "is_plain",
        "is_slowed",
        "keep_alive_s",
        "level",
        "opened_at",
        "owed_count",
        "session",
        "stream",
        "waiting_count",
        "window_began_at",
    )

    ended_by: ReasonCode | None  # What ended its connection, which `connection` names once it was let in.
    asked_version: int | None  # By which version of identities it was asked who it is; None where that was known.

    def __init__(self, taker: Taker, exchange: Exchange, stream: Stream, decoder: Decoder) -> None:
        self.stream, self.decoder = stream, decoder
        self.connection, self.ended_by, self.asked_version = "", None, None
        self.session: Session | None = None
        self.keep_alive_s = 0.0
        """How long it may be silent, grace included; 0 is for ever."""
        self.opened_at = self.window_began_at = stream.opened_at
        """When its time to send CONNECT, and the second of its allowance, began, in the seconds of the loop."""
        self.claimed_id = ""
        """The client identifier of its CONNECT, let in or not."""
        self.assigned_id = ""
        """The client identifier that it was given because it had none."""
        self.admitted: Principal | Denied | None = None
        """Who it is, where that was known before or took time to find out."""
        self.credentials: Credentials | None = None
        """What it showed, without its certificate, which its connection has."""
        self.candidate: Session | None = None
        """The session that it gets if it is let in and has none."""
        self.is_slowed = False
        """Whether it is not read because it has sent too much in this second."""
        self.owed_count = 0
        """Receipts that wait for a commit: an acknowledgement must not overtake them."""
        self.waiting_count = 0
        """Deliveries among them."""
        self._taker, self._exchange = taker, exchange
        self._is_held = False
        self._publisher = Publisher(self, exchange)
        self._read_packets = self._read_bytes = 0
        self._stalled: list[Packet] | None = None
        self._watchers: tuple[Watcher, ...] = ()
        self.agree(Outgoing())

    # What its connection calls.

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""
        limits = self._exchange.limits
        publisher = self._publisher
        self._read_bytes += len(data)
        # One packet of the two kinds that most reads bring is taken at once; it changes nothing for the next one.
        if (
            self._stalled is None
            and not self._watchers
            and (publisher.publish_again(data) if len(data) != PUBACK_BYTES else take_alone(self, self._exchange, data))
        ):
            self._read_packets += 1
            packets = None
        else:
            publisher.familiar = b""
            packets = self.decoder.feed(data)
            self._read_packets += len(packets)
        if self._read_packets > limits.publishes_per_s or self._read_bytes > limits.bytes_per_s:
            self._taker.slow_down(self)
        if packets is not None:
            self._take(packets)

    def _take(self, packets: list[Packet]) -> None:
        for watcher in self._watchers:
            for packet in packets:
                watcher.received(packet)
        if self._stalled is not None:
            self._stalled += packets
            return
        self._take_all(packets)
        if len(packets) == 1 and type(packets[0]) is Publish and self.decoder.is_between_packets:
            self._publisher.remember(packets[0])

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone."""
        self._taker.leave(self, reason)
        # Later, because it may be in the midst of what it publishes.
        self._exchange.soon(self._let_go)

    # What the broker calls.

    @property
    def is_waiting(self) -> bool:
        """Whether it is not read because the authoriser thinks about one of its packets, or CONNACK waits."""
        return self._stalled is not None

    def go_on(self) -> None:
        """Take what waited for a decision; the packet that raised the question comes first."""
        stalled, self._stalled = self._stalled, None
        if stalled is not None and self.stream.is_open:
            if not self.is_slowed:
                self.stream.resume()
            self._take_all(stalled)

    def agree(self, outgoing: Outgoing) -> None:
        """Write from here on as CONNECT asked for."""
        self._outgoing = outgoing
        self.level = outgoing.level
        # What is the same for many is written past the log of packets.
        self.is_plain = outgoing.is_plain and not self._watchers

    def join(self, session: Session) -> None:
        """Take up a session: the connection is its own from here on."""
        session.client = self
        self.session = session
        self._publisher.join(session)

    def watch(self, watcher: Watcher) -> None:
        """Show every packet to a watcher from here on."""
        self._watchers += (watcher,)
        self.agree(self._outgoing)

    def unwatch(self, watcher: Watcher) -> None:
        """Show a watcher no more."""
        self._watchers = tuple(one for one in self._watchers if one is not watcher)
        self.agree(self._outgoing)

    def new_allowance(self, now: float) -> None:
        """Begin another second of its allowance; `now` is in the seconds of the loop."""
        self.window_began_at = now
        self._read_bytes = self._read_packets = 0

    def send(self, data: bytes) -> None:
        """Write bytes of whole packets."""
        if self._watchers:
            self._show(data)
        unsent_bytes = self.stream.send(data)
        if unsent_bytes > NOTED_BYTES:
            self._exchange.slow[self] = None
            if unsent_bytes > self._exchange.limits.unsent_bytes:
                # Later, because this may be a turn in the midst of everyone who receives a message.
                error = ProtocolError(ReasonCode.QUOTA_EXCEEDED, "the client reads too slowly")
                self._exchange.soon(lambda: self._taker.refuse(self, error))

    def answer(self, packet: Packet, *, waits: bool = False) -> None:
        """Send a packet, after the commit of this turn if it waits for it."""
        data = encode(packet, self.level)
        if not self.takes(len(data)):
            return
        if waits:
            self._exchange.answer_after_commit(self, data)
        else:
            self.send(data)

    def takes(self, size_bytes: int) -> bool:
        """Whether the client takes packets of this size [MQTT-3.1.2-24]."""
        limit = self._outgoing.packet_limit
        return limit is None or size_bytes <= limit

    def settle(self, receipt: Receipt) -> None:
        """Send what waited for a commit."""
        self.owed_count -= 1
        self.waiting_count -= receipt.is_delivery
        if receipt.answered_count:
            self._publisher.unanswered_count -= receipt.answered_count
        self.send(receipt.data)
        if self._is_held:
            self._is_held = False
            self.go_on()

    def hold(self) -> None:
        """Take nothing more until its CONNACK was sent, which waits for the commit: it comes first [MQTT-3.2.0-1]."""
        self._is_held = True
        self._stalled = []
        self.stream.pause()

    def rest(self) -> None:
        """Take nothing more until `go_on`."""
        if self._stalled is None:
            self._stalled = []
            self.stream.pause()

    def send_message(self, message: Message, *, retain: bool, identifiers: tuple[int, ...]) -> bool:
        """Send a message at QoS 0; False when it is larger than the client takes [MQTT-3.1.2-24]."""
        now = self._exchange.clock()
        data = self._outgoing.publish_bytes(message, _AT_QOS_0 | retain, 0, now, identifiers)
        if data is None:
            return False
        self.send(data)
        return True

    def delivery_bytes(self, delivery: Delivery, *, duplicate: bool, may_alias: bool) -> bytes | None:
        """The PUBLISH of a delivery; None when it is larger than the client takes."""
        message = delivery.message
        first = _AT_QOS_0 | duplicate << 3 | delivery.qos << 1 | delivery.retain
        now = 0 if message.expires_at is None else self._exchange.clock()
        return self._outgoing.publish_bytes(
            message, first, delivery.packet_id, now, delivery.identifiers, may_alias=may_alias
        )

    def close_with(self, code: ReasonCode, reason: str) -> None:
        """End the connection; a client of MQTT 5 is told why [MQTT-4.13.1-1]."""
        self._say_why(code, reason)
        self.stream.close(reason)

    def cut_off(self, code: ReasonCode, reason: str) -> None:
        """The same for one of thousands that must be out at once: the broker may hear of it later."""
        self._say_why(code, reason)
        self.stream.cut_off(reason)

    def _let_go(self) -> None:
        """Let go of whatever holds it in turn: they would stay until garbage is collected."""
        self._publisher.end()
        self._watchers = ()
        if self.decoder.failure is not None:
            # It tells of the call that raised it.
            self.decoder.failure.with_traceback(None)

    def _say_why(self, code: ReasonCode, reason: str) -> None:
        self.ended_by = code
        if self.level == V5 and self.session is not None and not self._is_held:
            self.answer(Disconnect(code, self.reason(reason, is_last=True)))

    def reason(self, text: str, *, code_count: int = 1, is_last: bool = False) -> Properties:
        """A reason string, if this client wants it. What ends a connection may always give one [MQTT-3.1.2-29]."""
        if self._exchange.tells_reasons and (is_last or self._outgoing.tells_reasons):
            return self._outgoing.reason(text, code_count)
        return NO_PROPERTIES

    def note_denied(self, kind: str, reason: str) -> None:
        """Tell the owner of something that was denied."""
        self._taker.note_denied(self, kind, reason)

    def _show(self, data: bytes) -> None:
        for packet in Decoder(protocol_level=self.level).feed(data):
            for watcher in self._watchers:
                watcher.sent(packet)

    def _take_all(self, packets: list[Packet]) -> None:
        waiting = iter(packets)
        now = self._exchange.clock()
        publisher = self._publisher
        packet: Packet | None = None
        try:
            for packet in waiting:
                if type(packet) is Publish and self.session is not None:
                    publisher.publish(self.session, packet, now)
                elif type(packet) is Puback and self.session is not None:
                    acknowledged(self._exchange, self.session, packet)
                else:
                    self._take_other(packet)
                    if not self.stream.is_open:
                        return
                    if self._stalled is not None:
                        self._stalled += waiting
                        return
            if self.decoder.failure is not None:
                raise self.decoder.failure
        except Undecided:
            self._stall(packet, waiting)
        except ProtocolError as error:
            publisher.acknowledge()
            self._taker.refuse(self, error)
        finally:
            publisher.acknowledge()

    def _stall(self, packet: Packet | None, waiting: Iterator[Packet]) -> None:
        self._stalled = [*([packet] if packet is not None else ()), *waiting]
        self.stream.pause()

    def _take_other(self, packet: Packet) -> None:
        session = self.session
        if session is None:
            if not isinstance(packet, Connect):
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "the first packet is not CONNECT [MQTT-3.1.0-1]")
            self._taker.connect(self, packet)
            return
        match packet:
            case Pubrec() | Pubcomp():
                answered(self, self._exchange, session, packet)
            case Pubrel(packet_id):
                self._publisher.release(session, packet_id)
            case Pingreq():
                self.send(PINGRESP)
            case Subscribe():
                self._taker.subscribe(self, session, packet)
            case Unsubscribe():
                self._taker.unsubscribe(self, session, packet)
            case Disconnect():
                self._goodbye(session, packet)
            case _:
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, _misplaced(packet))

    def _goodbye(self, session: Session, packet: Disconnect) -> None:
        """DISCONNECT: no will, unless the client asks for it [MQTT-3.14.4-3]."""
        expiry_s = packet.properties.session_expiry_s
        if expiry_s is not None:
            if expiry_s and not session.expiry_s:
                reason = "a session that ends with its connection cannot be prolonged by DISCONNECT [3.14.2.2.2]"
                raise ProtocolError(ReasonCode.PROTOCOL_ERROR, reason)
            if session.is_stored and not expiry_s:
                self._exchange.take_off_disk(session)
            session.expiry_s = min(expiry_s, self._exchange.limits.session_expiry_s)
        if packet.code == ReasonCode.SUCCESS:
            session.will = None
        self.ended_by = ReasonCode.SUCCESS
        self.stream.close("the client disconnected")


def _misplaced(packet: Packet) -> str:
    if isinstance(packet, Connect):
        return "a second CONNECT [MQTT-3.1.0-2]"
    if isinstance(packet, Auth):
        return "AUTH without an authentication method in CONNECT [MQTT-4.12.0-7]"
    return f"{type(packet).__name__.upper()} is for servers to send"
