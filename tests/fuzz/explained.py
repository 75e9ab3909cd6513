"""Where our broker and Mosquitto 2.0.11 may differ, and why: the one table of it.

Each row has the words that allow what ours does, and a function that knows the difference from others.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from broker.packets import (
    V5,
    Connack,
    Connect,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from broker.topics import filter_fault, matches, shared_parts
from tests.fuzz.brokers import LIMITS
from tests.fuzz.difference import Difference, Told
from tests.fuzz.doubtful import is_doubtful, texts_of
from tests.fuzz.mutation import split
from tests.fuzz.playing import whole

_CLOSED, _OPEN = (("closed",),), (("open",),)
_CONNECT = 1
_CONNACK_BYTES = 80
"""Ours are smaller."""


@dataclass(frozen=True)
class Row:
    """A difference that is explained."""

    name: str
    why: str
    """The statement of the specification that allows ours."""
    explains: Callable[[Difference], bool]


def explanation(difference: Difference) -> Row | None:
    """The row that explains a difference, if there is one."""
    return next((row for row in TABLE if row.explains(difference)), None)


# What the rows ask.


def _subscribed(difference: Difference) -> Iterator[str]:
    """Every filter that was asked for so far."""
    for packet in difference.sent_so_far:
        if isinstance(packet, Subscribe):
            yield from (request.topic_filter for request in packet.requests)


def _topics(difference: Difference) -> set[str]:
    """Of the deliveries in which they differ."""
    if difference.kind != "deliveries":
        return set()
    ours, theirs = Counter(difference.ours), Counter(difference.theirs)
    return {told[0] for told in (*(ours - theirs), *(theirs - ours))} or {told[0] for told in difference.ours}


def _reasons(*words: str) -> Callable[[Difference], bool]:
    """Ours closes the connection for one of these; Mosquitto does not see it, and takes what comes behind."""

    def explains(difference: Difference) -> bool:
        is_of_it = _only_ours_closed(difference) or difference.kind == "deliveries"
        return is_of_it and any(word in difference.reason for word in words)

    return explains


def _only_ours_closed(difference: Difference) -> bool:
    return difference.kind == "closed" and (difference.ours, difference.theirs) == (_CLOSED, _OPEN)


def _only_theirs_closed(difference: Difference) -> bool:
    return difference.kind == "closed" and (difference.ours, difference.theirs) == (_OPEN, _CLOSED)


def _has_doubtful_text(difference: Difference) -> bool:
    return _only_theirs_closed(difference) and any(
        is_doubtful(text) for packet in difference.sent for text in texts_of(packet)
    )


def _is_unreleased(difference: Difference) -> bool:
    """Whether a QoS 2 message of any step so far was not released right behind it."""
    if difference.kind != "deliveries":
        return False
    for index in range(difference.index + 1):
        packets = difference.sent_by(index)
        for packet, after in zip_longest(packets, packets[1:]):
            if isinstance(packet, Publish) and packet.qos == 2 and after != Pubrel(packet.packet_id):
                return True
    return False


def _overlap(difference: Difference) -> bool:
    """Whether two filters that were subscribed to match what they differ in."""
    filters = set(_subscribed(difference))
    topics = _topics(difference)
    return bool(topics) and all(
        sum(matches(shared_parts(topic_filter)[1], topic) for topic_filter in filters) > 1 for topic in topics
    )


def _is_replaced(difference: Difference) -> bool:
    """Whether what they differ in matches a filter that was subscribed to again with other options."""
    requests: dict[str, set[Subscription]] = {}
    for packet in difference.sent_so_far:
        if isinstance(packet, Subscribe):
            for request in packet.requests:
                requests.setdefault(request.topic_filter, set()).add(request)
    again = [shared_parts(one)[1] for one, options in requests.items() if len(options) > 1]
    topics = _topics(difference)
    return bool(topics) and all(any(matches(one, topic) for one in again) for topic in topics)


def _is_unfinished(difference: Difference) -> bool:
    step = difference.script.steps[difference.index]
    is_silent = ("silent",) in (*difference.ours, *difference.theirs)
    return difference.kind == "closed" and is_silent and whole(step.data)[1]


def _is_retained_for_group(difference: Difference) -> bool:
    """Whether Mosquitto alone sends retained messages, and shared subscriptions were made."""
    shared = [shared_parts(one)[1] for one in _filters(difference, Subscribe) if one.startswith("$share/")]
    return bool(_topics(difference)) and all(
        any(matches(one, topic) for one in shared) for topic in _topics(difference)
    )


def _connects(difference: Difference) -> Iterator[Connect]:
    """Every CONNECT so far."""
    return (packet for packet in difference.sent_so_far if isinstance(packet, Connect))


def _is_will_of_taken_over(difference: Difference) -> bool:
    """Whether they differ in the topics of wills whose connections another one took over."""
    wills: dict[str, set[str]] = {}
    lost: set[str] = set()
    for connect in _connects(difference):
        lost |= wills.pop(connect.client_id, set())
        if connect.will is not None:
            wills[connect.client_id] = {connect.will.topic}
    topics = _topics(difference)
    return bool(topics) and topics <= lost


def _is_will_of_ended_session(difference: Difference) -> bool:
    """Whether they differ in wills that were put off beyond the end of their session, or in who still has one."""
    wills = {
        connect.will.topic
        for connect in _connects(difference)
        if connect.will is not None
        and (connect.will.properties.will_delay_s or 0) > (connect.properties.session_expiry_s or 0)
    }
    if difference.kind == "answers":
        return bool(wills) and _without_success(difference.ours) == _without_success(difference.theirs)
    topics = _topics(difference)
    return bool(topics) and topics <= wills


def _without_success(answers: tuple[Told, ...]) -> list[Told]:
    """Without the codes that say whether anybody was subscribed."""
    return [told[:2] if told[0] in {"PUBACK", "PUBREC"} and told[2] in {0, 0x10} else told for told in answers]


def _is_of_another_delivery(difference: Difference) -> bool:
    """Whether a client answered for a packet identifier of its own choice, which one of the brokers uses."""
    return (_only_ours_closed(difference) or _only_theirs_closed(difference)) and any(
        isinstance(packet, Puback | Pubrec | Pubcomp) for packet in difference.sent
    )


def _is_after_second_connect(difference: Difference) -> bool:
    """Whether a connection has sent CONNECT twice, so that Mosquitto has forgotten its will and its session."""
    if difference.kind == "closed":
        return False
    has_spoken: set[int] = set()
    for step in difference.script.steps[: difference.index + 1]:
        if step.is_anew or step.is_lost:
            has_spoken.discard(step.who)
        for packet in split(step.data):
            if packet[0] >> 4 == _CONNECT and step.who in has_spoken:
                return True
            has_spoken.add(step.who)
    return False


def _is_of_no_life(difference: Difference) -> bool:
    """Whether they differ in messages that expire at once."""
    topics = _topics(difference)
    return bool(topics) and topics <= {
        packet.topic
        for packet in difference.sent_so_far
        if isinstance(packet, Publish) and packet.properties.message_expiry_s == 0
    }


def _is_of_servers(difference: Difference) -> bool:
    return _only_ours_closed(difference) and any(
        isinstance(packet, Connack | Suback | Unsuback | Pingresp) for packet in difference.sent
    )


def _takes_no_connack(difference: Difference) -> bool:
    return _only_ours_closed(difference) and any(
        isinstance(packet, Connect) and (packet.properties.maximum_packet_bytes or _CONNACK_BYTES) < _CONNACK_BYTES
        for packet in difference.sent
    )


def _filters(difference: Difference, kind: type[Subscribe] | type[Unsubscribe]) -> list[str]:
    """Those of this step."""
    found = []
    for packet in difference.sent:
        if isinstance(packet, Subscribe) and kind is Subscribe:
            found += [request.topic_filter for request in packet.requests]
        if isinstance(packet, Unsubscribe) and kind is Unsubscribe:
            found += packet.topic_filters
    return found


def _is_bad_share(difference: Difference) -> bool:
    return (_only_ours_closed(difference) or difference.kind == "answers") and any(
        one.startswith("$share") and filter_fault(one, LIMITS) is not None for one in _filters(difference, Subscribe)
    )


def _is_bad_filter(difference: Difference) -> bool:
    return (
        difference.script.level == V5
        and _only_theirs_closed(difference)
        and any(filter_fault(one, LIMITS) for one in _filters(difference, Subscribe))
    )


def _was_not_subscribed(difference: Difference) -> bool:
    if difference.kind != "answers" or difference.script.level != V5:
        return False
    ours, theirs = (
        [told for told in answers if told[0] == "UNSUBACK"] for answers in (difference.ours, difference.theirs)
    )
    subscribed = set(_subscribed(difference))
    unknown = [one for one in _filters(difference, Unsubscribe) if one.startswith("$") and one not in subscribed]
    return ours != theirs and bool(unknown)


def _is_bad_unsubscribe(difference: Difference) -> bool:
    return difference.kind == "closed" and any(filter_fault(one, LIMITS) for one in _filters(difference, Unsubscribe))


def _is_no_local_share(difference: Difference) -> bool:
    return _only_ours_closed(difference) and any(
        request.no_local and request.topic_filter.startswith("$share/")
        for packet in difference.sent
        if isinstance(packet, Subscribe)
        for request in packet.requests
    )


TABLE = (
    Row(
        "control characters and non-characters in texts",
        "1.5.4: a receiver may treat them as malformed. Ours does in names, Mosquitto in every text.",
        _has_doubtful_text,
    ),
    Row(
        "QoS 2 is delivered at PUBLISH, not at PUBREL",
        "4.3.3, figure 4.3: the receiver may initiate onward delivery before PUBREC, or after PUBREL.",
        _is_unreleased,
    ),
    Row(
        "overlapping subscriptions",
        "MQTT-3.3.5-1 of 3.1.1 and MQTT-3.3.4-2 of 5: the highest QoS of all; copies are the server's choice. "
        "Mosquitto takes the QoS and the options of whichever subscription it finds first.",
        _overlap,
    ),
    Row(
        "a subscription that replaces another one",
        "MQTT-3.8.4-3: all its options are the new ones. Mosquitto keeps No Local of the one before.",
        _is_replaced,
    ),
    Row(
        "a packet that never becomes whole",
        "3.1.2.10: nothing asks for it to be judged before its end, nor forbids it; keep alive bounds the wait.",
        _is_unfinished,
    ),
    Row(
        "the will of a connection that is taken over",
        "MQTT-3.1.2-8: it is published when the connection is closed without DISCONNECT. Mosquitto forgets it.",
        _is_will_of_taken_over,
    ),
    Row(
        "the will of a session that ends before the delay of its will",
        "MQTT 5, 3.1.3.2.2: it is published when the delay has passed or the session ends, whichever is first. "
        "Mosquitto keeps such a session, and its subscriptions, until the delay has passed.",
        _is_will_of_ended_session,
    ),
    Row(
        "the will and the session of a client that sent CONNECT twice",
        "MQTT-3.1.2-8: a will is published unless DISCONNECT came. MQTT 5, 3.1.2.11.2: a session is kept as long as "
        "it was asked for, whatever ended the connection. Mosquitto forgets both.",
        _is_after_second_connect,
    ),
    Row(
        "a message that expires after 0 s",
        "MQTT-3.3.2-5, MQTT-3.3.2-6: it is delivered only if that begins at once, and still says so. Mosquitto takes "
        "0 for never.",
        _is_of_no_life,
    ),
    Row(
        "an answer of the wrong kind for what is in flight under its identifier",
        "4.3.2, 4.3.3, 4.13.1: PUBACK answers QoS 1, PUBREC and PUBCOMP QoS 2; which identifiers are in flight is "
        "the broker's choice.",
        _is_of_another_delivery,
    ),
    Row(
        "a client that takes no packet as large as CONNACK",
        "MQTT-3.1.2-24: it is not sent. Ours is larger, because it tells its limits.",
        _takes_no_connack,
    ),
    Row(
        "packets that only servers send",
        "2.1.2, table 2-1: the direction of flow. Mosquitto takes some of them, because it can be a bridge.",
        _is_of_servers,
    ),
    Row(
        "DUP at QoS 0",
        "MQTT-3.3.1-2: DUP is 0 in all messages of QoS 0.",
        _reasons("PUBLISH with DUP"),
    ),
    Row(
        "retained messages for a shared subscription",
        "MQTT 5, 4.8.2: none are sent when it is made. Mosquitto sends them.",
        _is_retained_for_group,
    ),
    Row(
        "malformed filters of shared subscriptions",
        "MQTT-4.8.2-1, MQTT-4.8.2-2: the name has a character at least, and no wildcard, and a filter follows it. "
        "Ours says so to clients of 3.1.1 too, which has no shared subscriptions of its own.",
        _is_bad_share,
    ),
    Row(
        "malformed filters of MQTT 5",
        "3.9.3, 0x8F: it has a reason code of its own, and nothing asks for the connection to be closed.",
        _is_bad_filter,
    ),
    Row(
        "UNSUBSCRIBE from a filter with $ that was not subscribed to",
        "3.11.3, 0x11: no subscription existed. Mosquitto says success where it knows a part of such a filter.",
        _was_not_subscribed,
    ),
    Row(
        "No Local on a shared subscription",
        "MQTT-3.8.3-4: it is a protocol error.",
        _is_no_local_share,
    ),
    Row(
        "UNSUBSCRIBE with a malformed filter",
        "MQTT-3.10.4-1: filters are compared character by character, and what was never subscribed to is not "
        "there [3.11.3].",
        _is_bad_unsubscribe,
    ),
    Row(
        "reserved flags",
        "MQTT-2.2.2-2 of 3.1.1, MQTT-2.1.3-1 of 5: the connection is closed. Mosquitto reads over most of them.",
        _reasons("wrong flags"),
    ),
    Row(
        "bytes behind the last field",
        "2.1.4: the remaining length counts the variable header and the payload, and nothing else.",
        _reasons("longer than its fields", "with a body"),
    ),
    Row(
        "reason codes that a packet may not have",
        "MQTT 5, 2.4: the code must be one of its packet's; others are a protocol error [4.13].",
        _reasons("may not have the reason code"),
    ),
)
