"""What Hypothesis draws for MQTT: names, filters, properties and packets of both versions."""

from hypothesis import strategies as st

from broker.packets import (
    NO_PROPERTIES,
    V4,
    V5,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.properties import Kind
from broker.reason_codes import ReasonCode

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
clean_texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
"""Texts without control characters, as names must be."""
payloads = st.binary(max_size=200)
qualities = st.integers(0, 2)
packet_ids = st.integers(1, 65_535)
levels = st.sampled_from([V4, V5])

# Few different levels, so that names and filters meet often.
_topic_levels = st.sampled_from(["", "a", "b", "$x"])
names = st.lists(_topic_levels, min_size=1, max_size=4).map("/".join).filter(bool)
filters = st.builds(
    lambda levels, rest: "/".join(levels + rest),
    st.lists(_topic_levels | st.just("+"), max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)

_flags = st.integers(0, 1)
_two_bytes = st.integers(0, 65_535)
_four_bytes = st.integers(0, 2**32 - 1)
PROPERTY_VALUES: dict[str, st.SearchStrategy[object]] = {
    "payload_format_indicator": _flags,
    "message_expiry_s": _four_bytes,
    "content_type": texts,
    "response_topic": names,
    "correlation_data": payloads,
    "subscription_identifiers": st.lists(st.integers(1, 268_435_455), max_size=3).map(tuple),
    "session_expiry_s": _four_bytes,
    "assigned_client_id": texts,
    "server_keep_alive_s": _two_bytes,
    "authentication_method": texts,
    "authentication_data": payloads,
    "request_problem_information": _flags,
    "will_delay_s": _four_bytes,
    "request_response_information": _flags,
    "response_information": texts,
    "server_reference": texts,
    "reason_string": texts,
    "receive_maximum": st.integers(1, 65_535),
    "topic_alias_maximum": _two_bytes,
    "topic_alias": st.integers(1, 65_535),
    "maximum_qos": _flags,
    "retain_available": _flags,
    "user_properties": st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    "maximum_packet_bytes": st.integers(1, 2**32 - 1),
    "wildcard_subscription_available": _flags,
    "subscription_identifiers_available": _flags,
    "shared_subscription_available": _flags,
}
_WHY = {"reason_string", "user_properties"}
_LOGIN = {"authentication_method", "authentication_data", "user_properties"}
_TAKES = {"session_expiry_s", "receive_maximum", "maximum_packet_bytes", "topic_alias_maximum"}
_MESSAGE = {
    "payload_format_indicator",
    "message_expiry_s",
    "content_type",
    "response_topic",
    "correlation_data",
    "user_properties",
}
# Table 2-4 of MQTT 5, packet by packet.
ALLOWED_PROPERTIES: dict[Kind, set[str]] = {
    Connect: _LOGIN | _TAKES | {"request_problem_information", "request_response_information"},
    Connack: _LOGIN
    | _TAKES
    | _WHY
    | {"maximum_qos", "retain_available", "assigned_client_id", "wildcard_subscription_available"}
    | {"subscription_identifiers_available", "shared_subscription_available", "server_keep_alive_s"}
    | {"response_information", "server_reference"},
    Publish: _MESSAGE | {"topic_alias", "subscription_identifiers"},
    Will: _MESSAGE | {"will_delay_s"},
    Puback: _WHY,
    Pubrec: _WHY,
    Pubrel: _WHY,
    Pubcomp: _WHY,
    Subscribe: {"subscription_identifiers", "user_properties"},
    Suback: _WHY,
    Unsubscribe: {"user_properties"},
    Unsuback: _WHY,
    Disconnect: _WHY | {"session_expiry_s", "server_reference"},
    Auth: _LOGIN | _WHY,
}

# The reason codes of MQTT 5 by packet.
_RECEIPTS = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
_RELEASES = [0x00, 0x92]
_SUBACKS = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2]
_UNSUBACKS = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91]
_CONNACKS = [*range(0x80, 0x8B), 0x00, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F]


def properties_of(kind: Kind) -> st.SearchStrategy[Properties]:
    """Properties that a packet of this kind may have; half of the time none."""
    return st.just(NO_PROPERTIES) | _some_properties_of(kind)


@st.composite
def _some_properties_of(draw: st.DrawFn, kind: Kind) -> Properties:
    chosen = draw(st.sets(st.sampled_from(sorted(ALLOWED_PROPERTIES[kind])), max_size=4))
    values = {name: draw(PROPERTY_VALUES[name]) for name in sorted(chosen)}
    if "authentication_data" in values:
        values.setdefault("authentication_method", "m")
    if kind is Subscribe and "subscription_identifiers" in values:
        values["subscription_identifiers"] = (draw(st.integers(1, 268_435_455)),)
    # Without any, it is the value that stands for none.
    return Properties(**values) if any(value != () for value in values.values()) else NO_PROPERTIES  # type: ignore[arg-type]


def _properties(level: int, kind: Kind) -> st.SearchStrategy[Properties]:
    return properties_of(kind) if level == V5 else st.just(NO_PROPERTIES)


def wills_of(level: int) -> st.SearchStrategy[Will]:
    return st.builds(Will, clean_texts, payloads, qualities, st.booleans(), _properties(level, Will))


@st.composite
def connects(draw: st.DrawFn, level: int) -> Connect:
    username = draw(st.none() | clean_texts)
    has_password = level == V5 or username is not None
    return Connect(
        level,
        draw(clean_texts),
        draw(st.booleans()),
        draw(_two_bytes),
        draw(st.none() | wills_of(level)),
        username,
        draw(st.none() | payloads) if has_password else None,
        draw(_properties(level, Connect)),
    )


@st.composite
def publishes_of(draw: st.DrawFn, level: int, *, of_client: bool) -> Publish:
    """PUBLISH; a client may not put a subscription identifier into it."""
    qos = draw(qualities)
    properties = draw(_properties(level, Publish))
    if of_client and properties.subscription_identifiers:
        properties = NO_PROPERTIES
    may_be_empty = level == V4 or properties.topic_alias is not None
    return Publish(
        # Few topics, so that one repeats another.
        draw(names | (clean_texts if may_be_empty else clean_texts.filter(bool))),
        draw(payloads),
        qos,
        draw(st.booleans()),
        draw(st.booleans()) and qos > 0,
        draw(packet_ids) if qos else 0,
        properties,
    )


@st.composite
def subscribes(draw: st.DrawFn, level: int) -> Subscribe:
    properties = draw(_properties(level, Subscribe))
    identifier = properties.subscription_identifiers[0] if properties.subscription_identifiers else 0
    options = st.booleans() if level == V5 else st.just(False)
    handling = qualities if level == V5 else st.just(0)
    request = st.builds(
        Subscription, clean_texts.filter(bool), qualities, options, options, handling, st.just(identifier)
    )
    return Subscribe(draw(packet_ids), tuple(draw(st.lists(request, min_size=1, max_size=4))), properties)


def _acknowledgements(level: int) -> list[st.SearchStrategy[Packet]]:
    def one(
        kind: type[Puback] | type[Pubrec] | type[Pubrel] | type[Pubcomp], codes: list[int]
    ) -> st.SearchStrategy[Packet]:
        code = st.sampled_from(codes) if level == V5 else st.just(0)
        return st.builds(kind, packet_ids, code, _properties(level, kind))

    return [one(Puback, _RECEIPTS), one(Pubrec, _RECEIPTS), one(Pubrel, _RELEASES), one(Pubcomp, _RELEASES)]


def _farewells(level: int) -> list[st.SearchStrategy[Packet]]:
    if level != V5:
        return [st.just(Disconnect())]
    return [
        st.builds(Disconnect, st.sampled_from(ReasonCode).map(int), properties_of(Disconnect)),
        st.builds(Auth, st.sampled_from([0x00, 0x18, 0x19]), properties_of(Auth)),
    ]


def client_packets(level: int) -> st.SearchStrategy[Packet]:
    """What a client may send after its CONNECT."""
    return st.one_of(
        publishes_of(level, of_client=True),
        *_acknowledgements(level),
        subscribes(level),
        st.builds(
            Unsubscribe,
            packet_ids,
            st.lists(clean_texts.filter(bool), min_size=1, max_size=4).map(tuple),
            _properties(level, Unsubscribe),
        ),
        st.just(Pingreq()),
        *_farewells(level),
    )


def server_packets(level: int) -> st.SearchStrategy[Packet]:
    """What a server may send."""
    connack = st.sampled_from(ReturnCode) if level == V4 else st.sampled_from(_CONNACKS).map(ReasonCode)
    subacks = st.sampled_from(_SUBACKS if level == V5 else [0, 1, 2, 0x80])
    unsubacks = st.lists(st.sampled_from(_UNSUBACKS), max_size=4 if level == V5 else 0)
    return st.one_of(
        publishes_of(level, of_client=False),
        *_acknowledgements(level),
        st.builds(Connack, st.booleans(), connack, _properties(level, Connack)),
        st.builds(Suback, packet_ids, st.lists(subacks, max_size=4).map(tuple), _properties(level, Suback)),
        st.builds(Unsuback, packet_ids, unsubacks.map(tuple), _properties(level, Unsuback)),
        st.just(Pingresp()),
        *(_farewells(level) if level == V5 else []),
    )


wills = wills_of(V4)
publishes = publishes_of(V4, of_client=True)
packets: st.SearchStrategy[Packet] = connects(V4) | client_packets(V4)
"""What a client of 3.1.1 may send."""
