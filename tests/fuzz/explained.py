"""Where our broker and Mosquitto 2.0.11 may differ, and why: the one table of it.

Each row has the words that allow what ours does, and a function that knows the difference from others.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import questions
from tests.fuzz.difference import Difference


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


TABLE = (
    Row(
        "control characters and non-characters in texts",
        "1.5.4: a receiver may treat them as malformed. Ours does in names, Mosquitto in every text.",
        questions.has_doubtful_text,
    ),
    Row(
        "QoS 2 is delivered at PUBLISH, not at PUBREL",
        "4.3.3, figure 4.3: the receiver may initiate onward delivery before PUBREC, or after PUBREL.",
        questions.is_unreleased,
    ),
    Row(
        "a message of QoS 2 that comes a third time",
        "MQTT-4.3.3-10: it is acknowledged each time, however often it comes before PUBREL.",
        questions.is_sent_again_and_again,
    ),
    Row(
        "overlapping subscriptions",
        "MQTT-3.3.5-1 of 3.1.1 and MQTT-3.3.4-2 of 5: the highest QoS of all; copies are the server's choice. "
        "Mosquitto takes the QoS and the options of whichever subscription it finds first.",
        questions.overlap,
    ),
    Row(
        "a subscription that replaces another one",
        "MQTT-3.8.4-3: all its options are the new ones. Mosquitto keeps No Local of the one before.",
        questions.is_replaced,
    ),
    Row(
        "a packet that never becomes whole",
        "3.1.2.10: nothing asks for it to be judged before its end, nor forbids it; keep alive bounds the wait.",
        questions.is_unfinished,
    ),
    Row(
        "the will of a connection that is taken over",
        "MQTT-3.1.2-8: it is published when the connection is closed without DISCONNECT. Mosquitto forgets it.",
        questions.is_will_of_taken_over,
    ),
    Row(
        "the will of a session that ends before the delay of its will",
        "MQTT 5, 3.1.3.2.2: it is published when the delay has passed or the session ends, whichever is first. "
        "Mosquitto keeps such a session, and its subscriptions, until the delay has passed.",
        questions.is_will_of_ended_session,
    ),
    Row(
        "the will of a client that says an unknown code in DISCONNECT",
        "MQTT-3.1.2-8, MQTT-3.14.4-3: a will is discarded if DISCONNECT says 0x00, and for nothing else.",
        questions.is_will_of_odd_goodbye,
    ),
    Row(
        "the will and the session of a client that sent CONNECT twice",
        "MQTT-3.1.2-8: a will is published unless DISCONNECT came. MQTT 5, 3.1.2.11.2: a session is kept as long as "
        "it was asked for, whatever ended the connection. Mosquitto forgets both.",
        questions.is_after_second_connect,
    ),
    Row(
        "a message that expires after 0 s",
        "MQTT-3.3.2-5, MQTT-3.3.2-6: it is delivered only if that begins at once, and still says so. Mosquitto takes "
        "0 for never.",
        questions.is_of_no_life,
    ),
    Row(
        "an answer of the wrong kind for what is in flight under its identifier",
        "4.3.2, 4.3.3, 4.13.1: PUBACK answers QoS 1, PUBREC and PUBCOMP QoS 2; which identifiers are in flight is "
        "the broker's choice.",
        questions.is_of_another_delivery,
    ),
    Row(
        "a client that takes no packet as large as CONNACK",
        "MQTT-3.1.2-24: it is not sent. Ours is larger, because it tells its limits.",
        questions.takes_no_connack,
    ),
    Row(
        "what comes after a message that is larger than the client takes",
        "MQTT-3.1.2-25: such a message counts as sent. With Mosquitto it takes one of the places that Receive Maximum "
        "leaves, for ever: with one place, nothing comes any more.",
        questions.is_behind_too_large,
    ),
    Row(
        "packets that only servers send",
        "2.1.2, table 2-1: the direction of flow. Mosquitto takes some of them, because it can be a bridge.",
        questions.is_of_servers,
    ),
    Row(
        "a subscription identifier in a PUBLISH of a client",
        "MQTT-3.3.4-6: it must not have one. Mosquitto takes it.",
        questions.has_identifier_of_subscription,
    ),
    Row(
        "DUP at QoS 0",
        "MQTT-3.3.1-2: DUP is 0 in all messages of QoS 0.",
        questions.reasons("PUBLISH with DUP"),
    ),
    Row(
        "retained messages for a shared subscription",
        "MQTT 5, 4.8.2: none are sent when it is made. Mosquitto sends them.",
        questions.is_retained_for_group,
    ),
    Row(
        "which member of a shared subscription gets a message",
        "MQTT 5, 4.8.2: the server chooses one of those who are subscribed.",
        questions.is_another_member,
    ),
    Row(
        "malformed filters of shared subscriptions",
        "MQTT-4.8.2-1, MQTT-4.8.2-2: the name has a character at least, and no wildcard, and a filter follows it. "
        "Ours says so to clients of 3.1.1 too, which has no shared subscriptions of its own.",
        questions.is_bad_share,
    ),
    Row(
        "malformed filters of MQTT 5",
        "3.9.3, 0x8F: it has a reason code of its own, and nothing asks for the connection to be closed.",
        questions.is_bad_filter,
    ),
    Row(
        "UNSUBSCRIBE from a filter with $ that was not subscribed to",
        "3.11.3, 0x11: no subscription existed. Mosquitto says success where it knows a part of such a filter.",
        questions.was_not_subscribed,
    ),
    Row(
        "No Local on a shared subscription",
        "MQTT-3.8.3-4: it is a protocol error.",
        questions.is_no_local_share,
    ),
    Row(
        "UNSUBSCRIBE with a malformed filter",
        "MQTT-3.10.4-1: filters are compared character by character, and what was never subscribed to is not "
        "there [3.11.3].",
        questions.is_bad_unsubscribe,
    ),
    Row(
        "reserved flags",
        "MQTT-2.2.2-2 of 3.1.1, MQTT-2.1.3-1 of 5: the connection is closed. Mosquitto reads over most of them.",
        questions.reasons("wrong flags"),
    ),
    Row(
        "bytes behind the last field",
        "2.1.4: the remaining length counts the variable header and the payload, and nothing else.",
        questions.reasons("longer than its fields", "with a body"),
    ),
    Row(
        "reason codes that a packet may not have",
        "MQTT 5, 2.4: the code must be one of its packet's; others are a protocol error [4.13].",
        questions.reasons("may not have the reason code"),
    ),
)
