"""CONNECT: who may come in, with which session, and what CONNACK says. Sections 3.1 and 3.2."""

from collections.abc import Callable

import msgspec

from broker.admission import Admission
from broker.client import Client
from broker.encode import encode
from broker.errors import ProtocolError
from broker.exchange import Exchange
from broker.limits import Limits
from broker.outgoing import Outgoing
from broker.packets import V4, V5, Connack, Connect, Properties, ReturnCode, Will
from broker.plugins.authorizer import is_guest
from broker.ports import Connected, Denied, Owner, Principal
from broker.reason_codes import ReasonCode
from broker.session import Session
from broker.topics import check_name

KEEP_ALIVE_GRACE = 1.5
"""[MQTT-3.1.2-24]"""
LARGEST_RECEIVE_MAXIMUM = 65_535
LONGEST_CLAIM = 128
"""Characters of a client identifier that are repeated to people."""

# What a client of 3.1.1 can be told.
_RETURN_CODES = {
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: ReturnCode.IDENTIFIER_REJECTED,
    ReasonCode.SERVER_UNAVAILABLE: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.SERVER_BUSY: ReturnCode.SERVER_UNAVAILABLE,
    ReasonCode.BAD_USERNAME_OR_PASSWORD: ReturnCode.BAD_USERNAME_OR_PASSWORD,
    ReasonCode.NOT_AUTHORIZED: ReturnCode.NOT_AUTHORIZED,
}


class Reception:
    """Lets clients in."""

    def __init__(self, exchange: Exchange, owner: Owner, unique: Callable[[], str]) -> None:
        """`unique` gives names that nobody has and nobody can guess."""
        self._exchange = exchange
        self._admission = Admission(exchange)
        self._owner = owner
        self._unique = unique

    def connect(self, client: Client, connect: Connect) -> None:
        """Let a client in, or raise `ProtocolError` with the code for its CONNACK; `Undecided` is later."""
        client.claimed_id = connect.client_id[:LONGEST_CLAIM]
        _check_level(connect)
        client.agree(
            Outgoing(V5 if connect.protocol_level == V5 else V4, packet_limit=connect.properties.maximum_packet_bytes)
        )
        assigned = ""
        if not connect.client_id:
            assigned = self._assigned(client, connect)
            connect = msgspec.structs.replace(connect, client_id=assigned)
        self._check(connect)
        principal = self._admission.principal(client, connect)
        held = self._exchange.sessions.find(principal.tenant_id, connect.client_id)
        if held is not None and _gives_way(held.principal, principal):
            self._end_older(held, msgspec.structs.replace(connect, clean_start=True))
            held = None
        if held is not None and held.principal != principal:
            raise _refused("the session of this client identifier belongs to another client")
        self._check_will_rights(client, principal, connect)
        if held is not None:
            self._end_older(held, connect)
        self._enter(client, principal, connect, assigned)

    def _assigned(self, client: Client, connect: Connect) -> str:
        """A client identifier for a client without one [MQTT-3.1.3-6]; the same when the packet comes again."""
        if connect.protocol_level != V5 and not connect.clean_start:
            reason = "no client identifier, but a session to keep [MQTT-3.1.3-8]"
            raise ProtocolError(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, reason)
        if not client.assigned_id:
            client.assigned_id = f"auto-{self._unique()}"
        return client.assigned_id

    def _check(self, connect: Connect) -> None:
        limits = self._exchange.limits
        if len(connect.client_id.encode()) > limits.client_id_bytes:
            reason = f"a client identifier of more than {limits.client_id_bytes} bytes"
            raise ProtocolError(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, reason)
        if connect.properties.authentication_method is not None:
            reason = f"authentication method {connect.properties.authentication_method[:32]!r} is not known here"
            raise ProtocolError(ReasonCode.BAD_AUTHENTICATION_METHOD, reason)
        if connect.will is not None:
            _check_will(connect.will, limits)

    def _check_will_rights(self, client: Client, principal: Principal, connect: Connect) -> None:
        if connect.will is None:
            return
        if client.candidate is None:
            client.candidate = self._exchange.sessions.prepare(principal, connect.client_id)
        permissions = self._exchange.permissions
        denied = permissions.may_publish(client.candidate, connect.will.topic, client.go_on)
        if denied is None and connect.will.retain:
            denied = permissions.may_retain(principal, connect.will.topic)
        if denied is not None:
            raise _refused(f"its will: {denied.reason}")

    def _end_older(self, held: Session, connect: Connect) -> None:
        """Close the connection that a client of this identifier has [MQTT-3.1.4-3], and end its session if asked."""
        exchange = self._exchange
        if held.client is not None:
            held.client.close_with(ReasonCode.SESSION_TAKEN_OVER, "another connection took the session over")
        has_expired = held.client is None and exchange.clock() - held.left_at >= held.expiry_s * 1_000
        if connect.clean_start or has_expired:
            exchange.discard(held)
            return
        # Back before the delay was over [MQTT-3.1.3-9].
        held.will = held.will_due_at = None

    def _enter(self, client: Client, principal: Principal, connect: Connect, assigned: str) -> None:
        exchange = self._exchange
        whose = (principal.tenant_id, connect.client_id)
        session, is_replaced = exchange.sessions.find(*whose), exchange.is_ending(*whose)
        is_present = session is not None
        expiry_s = self._expiry_s(connect)
        told = self._agree(client, connect, expiry_s, assigned)
        answer = encode(Connack(is_present, ReasonCode.SUCCESS, told), client.level)
        if not client.takes(len(answer)):
            client.stream.close("the client takes packets smaller than CONNACK")
            return
        if session is None:
            session = client.candidate or exchange.sessions.prepare(principal, connect.client_id)
            exchange.sessions.open(session)
        exchange.sessions.join(session)
        was_stored = session.is_stored
        session.expiry_s, session.principal = expiry_s, principal
        client.join(session)
        session.will, session.will_due_at = connect.will, None
        exchange.journal.session(session)
        if was_stored and not session.is_stored:
            exchange.take_off_disk(session)
        if is_replaced:
            # The session before must be gone from the disk, or a power cut would bring it back.
            exchange.answer_after_commit(client, answer)
            client.hold()
        else:
            client.send(answer)
        client.connection = self._unique()
        self._owner.note(
            Connected(
                principal.tenant_id,
                principal.name,
                session.client_id,
                client.stream.address,
                exchange.clock(),
                client.connection,
                client.stream.certificate,
            )
        )
        for observer in exchange.observers:
            observer.connected(principal, session.client_id)
        session.deliveries.connect(connect.properties.receive_maximum or LARGEST_RECEIVE_MAXIMUM)
        exchange.refill(session)

    def _expiry_s(self, connect: Connect) -> int:
        longest = self._exchange.limits.session_expiry_s
        if connect.protocol_level == V5:
            return min(connect.properties.session_expiry_s or 0, longest)
        return 0 if connect.clean_start else longest

    def _keep_alive_s(self, connect: Connect) -> int:
        """The keep alive that counts: the client's own where there is no limit [MQTT-3.1.2-21]."""
        limits = self._exchange.limits
        asked_s = connect.keep_alive_s
        if limits.keep_alive_s is not None and not 0 < asked_s <= limits.keep_alive_s:
            return limits.keep_alive_s
        shortest_s = limits.shortest_keep_alive_s
        return shortest_s if shortest_s is not None and 0 < asked_s < shortest_s else asked_s

    def _agree(self, client: Client, connect: Connect, expiry_s: int, assigned: str) -> Properties:
        """Take what the client set for its connection; gives what CONNACK tells it [3.2.2.3]."""
        limits = self._exchange.limits
        wanted = connect.properties
        keep_alive_s = self._keep_alive_s(connect)
        client.keep_alive_s = keep_alive_s * KEEP_ALIVE_GRACE
        client.agree(
            Outgoing(
                client.level,
                min(wanted.topic_alias_maximum or 0, limits.topic_aliases),
                wanted.maximum_packet_bytes,
                tells_reasons=wanted.request_problem_information != 0,
            )
        )
        asked_s = wanted.session_expiry_s or 0
        return Properties(
            session_expiry_s=expiry_s if asked_s > expiry_s else None,
            assigned_client_id=assigned or None,
            server_keep_alive_s=keep_alive_s if keep_alive_s != connect.keep_alive_s else None,
            topic_alias_maximum=limits.topic_aliases,
            maximum_packet_bytes=limits.packet_bytes,
            receive_maximum=limits.receive_maximum,
        )


def refusal(error: ProtocolError, level: int, properties: Properties) -> bytes | None:
    """The CONNACK that refuses a client; None when its version has no word for it [MQTT-3.2.2-6]."""
    if level == V5:
        return encode(Connack(session_present=False, code=error.code, properties=properties), V5)
    code = _RETURN_CODES.get(error.code)
    return None if code is None else encode(Connack(session_present=False, code=code), V4)


def suspect(answer: Principal | Denied | None) -> Principal:
    """Who a client without a session is taken for; without a name when it is not known."""
    found = answer.of if isinstance(answer, Denied) else answer
    return found or Principal(0, "")


def _check_will(will: Will, limits: Limits) -> None:
    """Raise `ProtocolError` unless the broker can publish this when its client is gone."""
    check_name(will.topic, limits)
    response_topic = will.properties.response_topic
    if response_topic is not None and (not response_topic or "+" in response_topic or "#" in response_topic):
        raise ProtocolError(ReasonCode.PROTOCOL_ERROR, "the response topic of a will is no topic name [MQTT-3.3.2-14]")


def _check_level(connect: Connect) -> None:
    if connect.protocol_level not in (V4, V5):
        reason = f"protocol level {connect.protocol_level}; this gateway speaks MQTT 3.1.1 and 5, which are 4 and 5"
        raise ProtocolError(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, reason)


def _refused(reason: str) -> ProtocolError:
    return ProtocolError(ReasonCode.NOT_AUTHORIZED, reason)


def _gives_way(held: Principal, principal: Principal) -> bool:
    """Whether the session of one ends for another who comes with the same client identifier.

    Whom plugins let in, who only comes to enrol, and people, must not keep a device out by taking its name; and an
    operator may go on where another left off, who has the same rights.
    """
    if held == principal:
        return False
    if _is_passing(held):
        return not _is_passing(principal)
    return held.is_operator and not _is_passing(principal)


def _is_passing(principal: Principal) -> bool:
    """Whether this is a guest, or somebody who comes only to become a device: such names are two levels of a topic."""
    return is_guest(principal) or (not principal.is_operator and "/" in principal.name)
