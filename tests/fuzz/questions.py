"""What the table of differences asks: each function knows one kind of difference from all others."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest

from broker.packets import (
    V5,
    Connack,
    Connect,
    Disconnect,
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
_EXACTLY_ONCE = _TWICE = 2
_CONNACK_BYTES = 80
"""Ours are smaller."""


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


def reasons(*words: str) -> Callable[[Difference], bool]:
    """Ours closes the connection for one of these; Mosquitto does not see it, and takes what comes behind."""

    def explains(difference: Difference) -> bool:
        is_of_it = _only_ours_closed(difference) or difference.kind == "deliveries"
        return is_of_it and any(word in difference.reason for word in words)

    return explains


def _only_ours_closed(difference: Difference) -> bool:
    return difference.kind == "closed" and (difference.ours, difference.theirs) == (_CLOSED, _OPEN)


def _only_theirs_closed(difference: Difference) -> bool:
    return difference.kind == "closed" and (difference.ours, difference.theirs) == (_OPEN, _CLOSED)


def has_doubtful_text(difference: Difference) -> bool:
    """Whether Mosquitto alone refused a text with characters that may be refused."""
    return _only_theirs_closed(difference) and any(
        is_doubtful(text) for packet in difference.sent for text in texts_of(packet)
    )


def is_unreleased(difference: Difference) -> bool:
    """Whether a QoS 2 message of any step so far was not released right behind it."""
    if difference.kind != "deliveries":
        return False
    for index in range(difference.index + 1):
        packets = difference.sent_by(index)
        for packet, after in zip_longest(packets, packets[1:]):
            if isinstance(packet, Publish) and packet.qos == _EXACTLY_ONCE and after != Pubrel(packet.packet_id):
                return True
    return False


def overlap(difference: Difference) -> bool:
    """Whether two filters that were subscribed to match what they differ in."""
    filters = set(_subscribed(difference))
    topics = _topics(difference)
    return bool(topics) and all(
        sum(matches(shared_parts(topic_filter)[1], topic) for topic_filter in filters) > 1 for topic in topics
    )


def is_replaced(difference: Difference) -> bool:
    """Whether what they differ in matches a filter that was subscribed to again with other options."""
    requests: dict[str, set[Subscription]] = {}
    for packet in difference.sent_so_far:
        if isinstance(packet, Subscribe):
            for request in packet.requests:
                requests.setdefault(request.topic_filter, set()).add(request)
    again = [shared_parts(one)[1] for one, options in requests.items() if len(options) > 1]
    topics = _topics(difference)
    return bool(topics) and all(any(matches(one, topic) for one in again) for topic in topics)


def is_unfinished(difference: Difference) -> bool:
    """Whether a packet lacks more bytes than come, and one of the brokers waits for them."""
    step = difference.script.steps[difference.index]
    is_silent = ("silent",) in (*difference.ours, *difference.theirs)
    return difference.kind == "closed" and is_silent and whole(step.data)[1]


def is_retained_for_group(difference: Difference) -> bool:
    """Whether Mosquitto alone sends retained messages, and shared subscriptions were made."""
    shared = [shared_parts(one)[1] for one in _filters(difference, Subscribe) if one.startswith("$share/")]
    return bool(_topics(difference)) and all(
        any(matches(one, topic) for one in shared) for topic in _topics(difference)
    )


def is_another_member(difference: Difference) -> bool:
    """Whether both clients are members of the shared subscriptions whose messages they differ in."""
    members: dict[str, set[int]] = {}
    for index in range(difference.index + 1):
        for packet in difference.sent_by(index):
            if isinstance(packet, Subscribe):
                for request in packet.requests:
                    members.setdefault(request.topic_filter, set()).add(difference.script.steps[index].who)
    shared = [shared_parts(one)[1] for one, who in members.items() if shared_parts(one)[0] and len(who) > 1]
    topics = _topics(difference)
    return bool(topics) and all(any(matches(one, topic) for one in shared) for topic in topics)


def _connects(difference: Difference) -> Iterator[Connect]:
    """Every CONNECT so far."""
    return (packet for packet in difference.sent_so_far if isinstance(packet, Connect))


def is_will_of_taken_over(difference: Difference) -> bool:
    """Whether they differ in the topics of wills whose connections another one took over."""
    wills: dict[str, set[str]] = {}
    lost: set[str] = set()
    for connect in _connects(difference):
        lost |= wills.pop(connect.client_id, set())
        if connect.will is not None:
            wills[connect.client_id] = {connect.will.topic}
    topics = _topics(difference)
    return bool(topics) and topics <= lost


def is_will_of_ended_session(difference: Difference) -> bool:
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


def is_of_another_delivery(difference: Difference) -> bool:
    """Whether a client answered for a packet identifier of its own choice, which one of the brokers uses."""
    return (_only_ours_closed(difference) or _only_theirs_closed(difference)) and any(
        isinstance(packet, Puback | Pubrec | Pubcomp) for packet in difference.sent
    )


def is_will_of_odd_goodbye(difference: Difference) -> bool:
    """Whether they differ in wills, after a DISCONNECT with another code than 0."""
    codes = [packet.code for packet in difference.sent if isinstance(packet, Disconnect)]
    topics = _topics(difference)
    wills = {connect.will.topic for connect in _connects(difference) if connect.will is not None}
    return any(codes) and bool(topics) and topics <= wills


def is_after_second_connect(difference: Difference) -> bool:
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


def is_of_no_life(difference: Difference) -> bool:
    """Whether they differ in messages that expire at once."""
    topics = _topics(difference)
    return bool(topics) and topics <= {
        packet.topic
        for packet in difference.sent_so_far
        if isinstance(packet, Publish) and packet.properties.message_expiry_s == 0
    }


def is_sent_again_and_again(difference: Difference) -> bool:
    """Whether a message of QoS 2 came three times or more under its identifier."""
    sent = Counter(
        packet.packet_id
        for packet in difference.sent_so_far
        if isinstance(packet, Publish) and packet.qos == _EXACTLY_ONCE
    )
    return _only_theirs_closed(difference) and any(count > _TWICE for count in sent.values())


def is_of_servers(difference: Difference) -> bool:
    """Whether ours alone refused what only servers send."""
    return _only_ours_closed(difference) and any(
        isinstance(packet, Connack | Suback | Unsuback | Pingresp) for packet in difference.sent
    )


def has_identifier_of_subscription(difference: Difference) -> bool:
    """Whether ours alone refused a PUBLISH with a subscription identifier."""
    return _only_ours_closed(difference) and any(
        isinstance(packet, Publish) and packet.properties.subscription_identifiers for packet in difference.sent
    )


def takes_no_connack(difference: Difference) -> bool:
    """Whether the client takes nothing as large as our CONNACK."""
    return _only_ours_closed(difference) and any(
        isinstance(packet, Connect) and (packet.properties.maximum_packet_bytes or _CONNACK_BYTES) < _CONNACK_BYTES
        for packet in difference.sent
    )


def is_behind_too_large(difference: Difference) -> bool:
    """Whether ours alone delivered after a message of QoS 1 or 2 that is larger than the client takes."""
    bounds = [
        packet.properties.maximum_packet_bytes
        for index in range(difference.index + 1)
        if difference.script.steps[index].who == difference.who
        for packet in difference.sent_by(index)
        if isinstance(packet, Connect) and packet.properties.maximum_packet_bytes and packet.properties.receive_maximum
    ]
    too_large = any(
        isinstance(packet, Publish) and packet.qos and len(packet.payload) > min(bounds, default=len(packet.payload))
        for packet in difference.sent_so_far
    )
    has_more = all(one in difference.ours for one in difference.theirs) and len(difference.ours) > len(
        difference.theirs
    )
    return difference.kind == "deliveries" and too_large and has_more


def _filters(difference: Difference, kind: type[Subscribe] | type[Unsubscribe]) -> list[str]:
    """Those of this step."""
    found = []
    for packet in difference.sent:
        if isinstance(packet, Subscribe) and kind is Subscribe:
            found += [request.topic_filter for request in packet.requests]
        if isinstance(packet, Unsubscribe) and kind is Unsubscribe:
            found += packet.topic_filters
    return found


def is_bad_share(difference: Difference) -> bool:
    """Whether a filter of a shared subscription is none."""
    return (_only_ours_closed(difference) or difference.kind == "answers") and any(
        one.startswith("$share") and filter_fault(one, LIMITS) is not None for one in _filters(difference, Subscribe)
    )


def is_bad_filter(difference: Difference) -> bool:
    """Whether Mosquitto alone closed the connection for a filter that is none."""
    return (
        difference.script.level == V5
        and _only_theirs_closed(difference)
        and any(filter_fault(one, LIMITS) for one in _filters(difference, Subscribe))
    )


def was_not_subscribed(difference: Difference) -> bool:
    """Whether they differ in what was unsubscribed from, and the client had no such subscription."""
    if difference.kind != "answers" or difference.script.level != V5:
        return False
    ours, theirs = (
        [told for told in answers if told[0] == "UNSUBACK"] for answers in (difference.ours, difference.theirs)
    )
    subscribed = {
        request.topic_filter
        for index in range(difference.index + 1)
        if difference.script.steps[index].who == difference.who
        for packet in difference.sent_by(index)
        if isinstance(packet, Subscribe)
        for request in packet.requests
    }
    unknown = [one for one in _filters(difference, Unsubscribe) if one.startswith("$") and one not in subscribed]
    return ours != theirs and bool(unknown)


def is_bad_unsubscribe(difference: Difference) -> bool:
    """Whether a filter that is none was unsubscribed from."""
    return difference.kind == "closed" and any(filter_fault(one, LIMITS) for one in _filters(difference, Unsubscribe))


def is_no_local_share(difference: Difference) -> bool:
    """Whether ours alone refused No Local on a shared subscription."""
    return _only_ours_closed(difference) and any(
        request.no_local and request.topic_filter.startswith("$share/")
        for packet in difference.sent
        if isinstance(packet, Subscribe)
        for request in packet.requests
    )
