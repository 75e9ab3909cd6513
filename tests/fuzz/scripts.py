"""What Hypothesis draws for the comparison: scripts of two clients who mostly mean each other."""

import msgspec
from hypothesis import strategies as st

from broker.codec import encode
from broker.packets import (
    NO_PROPERTIES,
    V5,
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
    Subscription,
    Unsubscribe,
    Will,
)
from tests.broker.strategies import client_packets, properties_of
from tests.fuzz.doubtful import is_doubtful, texts_of
from tests.fuzz.mutation import body_of, framed
from tests.fuzz.playing import Script, Step

# Few, so that what one does concerns the other.
_topics = st.sampled_from(["a", "a/b", "a/c", "b", "a/b/c", "/a", "a/", "$x/a"])
_plain_filters = st.sampled_from(
    ["#", "a/#", "a", "a/b", "b", "a/+", "+", "+/b", "+/+", "/+", "a/b/#", "$x/a", "$x/#", "#"]
)
_shared_filters = st.sampled_from(["$share/s/a", "$share/s/a/#", "$share/t/#"])
_bad_filters = st.sampled_from(["a#", "#/a", "a+", "$share/s", "$share//a", "$share/+/a", "$share/s/", "a/#/b"])
_payloads = st.sampled_from([b"1", b"2", b"3", bytes(range(65, 185)), b""])
_packet_ids = st.sampled_from([1, 2, 3])
_HARMLESS = {0x30, 0x40, 0x50, 0x60, 0x70, 0x80, 0xA0, 0xC0}
"""Types of packets that do not end a connection."""
_qualities = st.integers(0, 2)
_often = st.integers(0, 9)


@st.composite
def _filters(draw: st.DrawFn) -> str:
    chosen = draw(st.integers(0, 29))
    return draw(_bad_filters if chosen == 17 else _shared_filters if chosen in {11, 13, 19} else _plain_filters)


def _properties(draw: st.DrawFn, level: int, kind: type[Packet] | type[Will]) -> Properties:
    return draw(properties_of(kind)) if level == V5 and draw(_often) >= 7 else NO_PROPERTIES


@st.composite
def _wills(draw: st.DrawFn, level: int) -> Will:
    properties = NO_PROPERTIES
    if level == V5:
        # Time does not pass within a script: a delay is none, or longer than it.
        properties = draw(
            st.sampled_from([NO_PROPERTIES, Properties(will_delay_s=1_000), Properties(content_type="t")])
        )
    return Will(draw(_topics), draw(_payloads), draw(_qualities), draw(st.booleans()), properties)


@st.composite
def _connects(draw: st.DrawFn, level: int, who: int) -> bytes:
    properties = NO_PROPERTIES
    if level == V5:
        properties = Properties(
            session_expiry_s=draw(st.sampled_from([None, 0, 1_000])),
            receive_maximum=draw(st.sampled_from([None, None, None, 1, 2])),
            topic_alias_maximum=draw(st.sampled_from([None, None, 5])),
            maximum_packet_bytes=draw(st.sampled_from([None, None, None, 100])),
            request_problem_information=draw(st.sampled_from([None, 0, 1])),
        )
        properties = NO_PROPERTIES if properties == NO_PROPERTIES else properties
    will = draw(st.none() | _wills(level))
    client_id = draw(st.sampled_from(["ab"[who], "ab"[who], "ab"[who], "ab"[1 - who], ""]))
    return encode(Connect(level, client_id, draw(st.booleans()), 60, will, properties=properties), level)


@st.composite
def _publishes(draw: st.DrawFn, level: int) -> bytes:
    qos = draw(_qualities)
    packet_id = draw(_packet_ids) if qos else 0
    topic = draw(_topics)
    packets: list[Packet] = [
        Publish(
            topic,
            draw(_payloads),
            qos,
            draw(st.booleans()),
            duplicate=qos > 0 and draw(_often) == 9,
            packet_id=packet_id,
            properties=_travelling(draw, level),
        )
    ]
    if qos == 2 and draw(_often) < 9:
        packets.append(Pubrel(packet_id))
    return b"".join(encode(packet, level) for packet in packets)


def _travelling(draw: st.DrawFn, level: int) -> Properties:
    properties = _properties(draw, level, Publish)
    if any(map(is_doubtful, texts_of(properties))):
        return NO_PROPERTIES
    if properties.subscription_identifiers and draw(_often) < 9:
        return NO_PROPERTIES
    return properties


@st.composite
def _subscribes(draw: st.DrawFn, level: int) -> bytes:
    identifier = draw(st.sampled_from([0, 0, 5, 300])) if level == V5 else 0
    properties = Properties(subscription_identifiers=(identifier,)) if identifier else NO_PROPERTIES
    options = st.booleans() if level == V5 else st.just(False)
    request = st.builds(
        Subscription, _filters(), _qualities, options, options, _qualities if level == V5 else st.just(0)
    )
    requests = draw(st.lists(request, min_size=1, max_size=3))
    if draw(_often) != 5:
        # Forbidden together, but by Mosquitto.
        requests = [
            msgspec.structs.replace(one, no_local=False) if one.topic_filter.startswith("$share") else one
            for one in requests
        ]
    return encode(Subscribe(draw(_packet_ids), tuple(requests), properties), level)


@st.composite
def _small(draw: st.DrawFn, level: int) -> bytes:
    kinds = [Puback, Pubrec, Pubrel, Pubcomp]
    answers: st.SearchStrategy[Packet] = st.builds(
        lambda kind, packet_id, code: kind(packet_id, code),
        st.sampled_from(kinds),
        _packet_ids,
        st.sampled_from([0, 0, 0x80]) if level == V5 else st.just(0),
    ).filter(lambda packet: not (isinstance(packet, Pubrel | Pubcomp) and packet.code))
    leaving = [Disconnect(), Disconnect(4), Disconnect(0, Properties(session_expiry_s=0))]
    others = [
        answers,
        st.just(Pingreq()),
        st.sampled_from(leaving if level == V5 else [Disconnect()]),
        st.builds(Unsubscribe, _packet_ids, st.lists(_filters(), min_size=1, max_size=2).map(tuple)),
    ]
    return encode(draw(st.one_of(others)), level)


def _any_packets(level: int) -> st.SearchStrategy[bytes]:
    # A text that a server may refuse ends most scripts before they have begun.
    clean = client_packets(level).filter(lambda packet: not any(map(is_doubtful, texts_of(packet))))
    return clean.map(lambda packet: encode(packet, level))


@st.composite
def _packets(draw: st.DrawFn, level: int, who: int) -> bytes:
    """Mostly messages and subscriptions: what one broker refuses and the other takes ends a script."""
    kind = draw(st.integers(0, 15))
    if kind < 8:
        return draw(_publishes(level))
    if kind < 11:
        return draw(_subscribes(level))
    if kind < 13:
        return draw(_small(level))
    if kind < 14:
        return draw(_any_packets(level))
    usual = st.one_of(_publishes(level), _subscribes(level), _small(level), _any_packets(level), _connects(level, who))
    return draw(_changed(usual))


@st.composite
def _changed(draw: st.DrawFn, packets: st.SearchStrategy[bytes]) -> bytes:
    """One byte of a packet is another, is missing, or is too much; its length is mostly right."""
    packet = draw(packets)
    first, body = packet[0], body_of(packet)
    kind = draw(_often)
    if kind == 0:
        return framed(first ^ 1 << draw(st.integers(0, 7)), body)
    if kind == 1:
        at = draw(st.integers(0, len(packet) - 1))
        return packet[:at] + bytes((draw(st.integers(0, 255)),)) + packet[at + 1 :]
    at = draw(st.integers(0, len(body)))
    byte = bytes((draw(st.integers(0, 255)),))
    if kind < 6:
        return framed(first, body[:at] + byte + body[at + 1 :])
    return framed(first, body[:at] + (byte if kind < 8 else b"") + body[at + (kind >= 8) :])


@st.composite
def _steps(draw: st.DrawFn, level: int, doubtful: set[int]) -> Step:
    """One step; `doubtful` are the clients that may have no connection any more."""
    who = draw(st.integers(0, 1))
    kind = draw(_often)
    if kind == 9:
        doubtful.add(who)
        return Step(who, is_lost=True)
    if kind == 8 or (who in doubtful and kind > 1):
        doubtful.discard(who)
        return Step(who, draw(_connects(level, who)), is_anew=True)
    sent = draw(st.lists(_packets(level, who), min_size=1, max_size=3))
    if any(packet[0] & 0xF0 not in _HARMLESS for packet in sent):
        doubtful.add(who)
    return Step(who, b"".join(sent))


@st.composite
def scripts(draw: st.DrawFn, level: int) -> Script:
    """Two clients connect, mostly one of them subscribes, and then they do anything."""
    connects = [Step(who, draw(_connects(level, who))) for who in (0, 1)]
    subscribes = [Step(1, draw(_subscribes(level)))] if draw(_often) else []
    # Long ones, which Hypothesis would seldom draw of itself.
    count = draw(st.integers(1, 12))
    doubtful: set[int] = set()
    steps = [draw(_steps(level, doubtful)) for _ in range(count)]
    return Script(level, (*connects, *subscribes, *steps), draw(_often) < 8)
