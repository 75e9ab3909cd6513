"""Why a device was refused, in words for the person who can change it: what happened, and what to do about it.

The kinds are those of the broker and of ingestion; the cause of the single case stands in the problem itself.
"""

from collections.abc import Mapping

import msgspec


class Advice(msgspec.Struct, frozen=True):
    """One kind of problem."""

    title: str
    remedy: str
    """What to do about it; empty when the cause says it all."""


_CONNECTING: Mapping[str, Advice] = {
    "not_tls": Advice("Something other than TLS came", "Let the device connect with TLS to this port: mqtts://."),
    "tls_handshake_failed": Advice(
        "The TLS handshake failed",
        "Check that the device has its certificate, its key and the root of this gateway, and that its clock is right.",
    ),
    "connect_timeout": Advice(
        "Connected, and did not say who it is in time",
        "Look at the network between them; something that only probes the port looks the same.",
    ),
    "address_busy": Advice(
        "Too many connections from its address",
        "See whether a client opens connections without closing them; limits.connections_per_address sets the limit.",
    ),
    "server_busy": Advice(
        "The gateway had no room for one more connection", "limits.connections sets how many there may be."
    ),
    "foreign_network": Advice(
        "It came from a network that may not use the plain port",
        "Let it connect with its certificate, or name its network in mqtt.plain_networks.",
    ),
    "websocket_refused": Advice(
        "MQTT over WebSocket was refused",
        "Ask for the subprotocol mqtt, from a page of this gateway or with a token that is still good.",
    ),
    "client_identifier_not_valid": Advice(
        "Its client id cannot be used", "Let the device use its device id as its client id."
    ),
    "bad_username_or_password": Advice(
        "It did not show who it is",
        "It shows its certificate, or sends its device id as user name and a good token as password; see Tokens.",
    ),
    "connect_denied": Advice(
        "It may not connect",
        "Compare its certificate or token and its client id with those on its pages: all must be its own, and good.",
    ),
    "banned": Advice("It is kept out", ""),
    "certificate_ending": Advice(
        "Its certificate ends soon",
        "Let the device renew it, by EST or over MQTT, or issue it another one under Certificates.",
    ),
    "renewal_refused": Advice("Its certificate was not renewed", "The cause says what to change in the device."),
    "bad_authentication_method": Advice(
        "It asked for a way to authenticate that is not known here", "Let it connect without enhanced authentication."
    ),
    "enrolment_refused": Advice(
        "It asked to be enrolled and was refused",
        "The cause says what is wrong with the claim or the request; claims and their templates are under Enrolment.",
    ),
    "unsupported_protocol_version": Advice(
        "It speaks a version of MQTT that is not known here", "Let it speak MQTT 3.1.1 or 5."
    ),
    "server_unavailable": Advice("The gateway could not take it", "It may try again."),
    "connection_rate_exceeded": Advice("It connects too often", "Let it wait longer before it tries again."),
}

_CONNECTED: Mapping[str, Advice] = {
    "session_taken_over": Advice(
        "Another connection took its session over",
        "Two clients use the same client id; each ends the other. Give each its own certificate and device id.",
    ),
    "keep_alive_timeout": Advice(
        "Nothing was heard of it for too long",
        "It lost its network or power, or it sends no PINGREQ within the keep alive that it promised.",
    ),
    "connection_ended": Advice(
        "It may no longer be connected", "Its certificate was revoked or its state changed: see Identity."
    ),
    "administrative_action": Advice("Somebody ended its connection", ""),
    "server_shutting_down": Advice("The gateway was stopped", "The device comes back by itself."),
    "maximum_connect_time": Advice("It was connected for as long as it may be", "The device comes back by itself."),
    "use_another_server": Advice("It was sent to another server", ""),
    "server_moved": Advice("It was sent to another server for good", ""),
    "malformed_packet": Advice(
        "A packet that is not MQTT came", "The library of the device, or something on the way, damages packets."
    ),
    "protocol_error": Advice(
        "It broke the rules of MQTT", "The library of the device is at fault: look for a newer version."
    ),
    "implementation_specific_error": Advice("The gateway could not work with it", "The log of the gateway says more."),
    "unspecified_error": Advice("The gateway could not work with it", "The log of the gateway says more."),
    "packet_identifier_in_use": Advice(
        "It used a packet identifier twice", "The library of the device is at fault: look for a newer version."
    ),
    "packet_identifier_not_found": Advice(
        "It answered for a message that was not sent", "The library of the device is at fault."
    ),
    "receive_maximum_exceeded": Advice(
        "It sent too many messages without waiting for answers",
        "Let it wait for PUBACKs; limits.receive_maximum says how many may be unanswered.",
    ),
    "topic_alias_invalid": Advice(
        "It used a topic alias that was not agreed",
        "Let it use no more aliases than CONNACK allows, and name the topic first; limits.topic_aliases sets how many.",
    ),
    "packet_too_large": Advice(
        "A packet was too large", "Let it send less at once; limits.packet_bytes is the largest that is taken."
    ),
    "message_rate_too_high": Advice("It sends too fast", "limits.publishes_per_s and limits.bytes_per_s set how fast."),
    "quota_exceeded": Advice(
        "It used up what one client may have",
        "Let it read what it is sent, and subscribe to less; the cause names the limit.",
    ),
}

_MESSAGES: Mapping[str, Advice] = {
    "publish_denied": Advice(
        "It published where it may not",
        "The cause says where it may publish: correct the topic in the device.",
    ),
    "topic_name_invalid": Advice("It published to a name that is no topic", "Correct the topic in the device."),
    "topic_filter_invalid": Advice("It subscribed to a filter that is none", "Correct the filter in the device."),
    "payload_format_invalid": Advice(
        "A payload is not what it is said to be", "Mark it as text only when it is UTF-8."
    ),
    "retain_not_supported": Advice("It may not leave retained messages", ""),
    "qos_not_supported": Advice("It asked for a quality of service that it may not have", ""),
    "will_denied": Advice(
        "Its last will was not published",
        "The cause says where it may publish, or what kept it from being judged: correct the topic in the device.",
    ),
    "retain_quota": Advice(
        "A retained message was not kept",
        "It left too many already: let it clear old ones with empty messages. The cause names the limit.",
    ),
    "not_authorized": Advice(
        "It published where it may not", "The cause says where it may publish: correct the topic in the device."
    ),
    "subscription_ended": Advice(
        "It lost a subscription", "What it may receive has changed since it subscribed; the cause says how."
    ),
    "shared_subscriptions_not_supported": Advice("Shared subscriptions are not allowed here", ""),
    "subscription_identifiers_not_supported": Advice("Subscription identifiers are not allowed here", ""),
    "wildcard_subscriptions_not_supported": Advice("Wildcards are not allowed here", ""),
}

_SUBSCRIBING: Mapping[str, Advice] = {
    "not_authorized": Advice(
        "It subscribed to what it may not receive",
        "Everything that its filter can match must be allowed, not only a part: narrow the filter in the device.",
    ),
    "quota_exceeded": Advice(
        "It has too many subscriptions", "Let it use fewer, with wildcards; limits.subscriptions sets how many."
    ),
    "topic_filter_invalid": _MESSAGES["topic_filter_invalid"],
}
"""What befell one filter of a SUBSCRIBE: the kind is the same with `subscribe_` before it."""

_PAYLOADS: Mapping[str, Advice] = {
    "payload_too_large": Advice("A message was too large", "ingestion.payload_limit_bytes is the largest taken."),
    "not_json": Advice("A message was not JSON", "Let the device send a JSON object, or an array of them."),
    "not_cbor": Advice("A message was not CBOR", "Let the device send a CBOR map, or an array of them."),
    "schema_rejected": Advice(
        "Readings were left out: they are not as its type says",
        "Correct them in the device, or the type under Devices → Types.",
    ),
    "schema_flagged": Advice(
        "Readings are not as its type says", "Correct them in the device, or the type under Devices → Types."
    ),
    "came_twice": Advice(
        "A reading came twice with different values",
        "Let the device give each message a sequence number of its own, and a timestamp of its own.",
    ),
    "too_many_objects": Advice("Too many readings in one message", "Split them into several messages."),
    "too_many_metrics": Advice("Too many metrics in one reading", "Split them into several messages."),
    "no_readings": Advice("A message without readings", "Each object needs at least one reading."),
    "wrong_type": Advice("A value of the wrong kind", "Correct the message in the device."),
    "wrong_device": Advice(
        "A message for another device",
        "The deviceId in the message and the device id in the topic must be the same: correct one in the device.",
    ),
    "no_device": Advice(
        "A message on a topic of a mapping rule names no device",
        "Correct the message in the device, or where the mapping rule looks under Ingestion → Mapping rules.",
    ),
    "other_device": Advice(
        "It spoke for another device",
        "If it may, name it among the publishers of the mapping rule under Ingestion → Mapping rules.",
    ),
    "unknown_device": Advice(
        "It spoke for a device that is not here",
        "Register that device, or correct its id in the message: none comes to be by being named.",
    ),
    "not_text": Advice("A payload is neither a number nor a text", "Let the device send text in UTF-8."),
    "wrong_name": Advice("The name of a metric cannot be used", "Rename the metric in the device."),
    "text_too_long": Advice("A text was too long", "Shorten it in the device."),
    "number_too_large": Advice("A number was too large", "Correct the message in the device."),
    "wrong_timestamp": Advice("A timestamp could not be read", "Send ISO 8601, or seconds or milliseconds since 1970."),
    "clock_ahead": Advice("Its clock is ahead", "Let the device set its clock by NTP."),
    "clock_behind": Advice("Its clock is behind", "Let the device set its clock by NTP."),
    "defect": Advice("The gateway made a mistake with a message", "The log of the gateway has the cause."),
}

ADVICE: Mapping[str, Advice] = {
    **_CONNECTING,
    **_CONNECTED,
    **_MESSAGES,
    **{f"subscribe_{kind}": advice for kind, advice in _SUBSCRIBING.items()},
    **_PAYLOADS,
}
"""Every kind of problem."""


def advice(kind: str) -> Advice:
    """What to say about this kind of problem; a kind that is not known says itself."""
    known = ADVICE.get(kind)
    if known is None and kind.startswith("subscribe_"):
        known = ADVICE.get(kind.removeprefix("subscribe_"))
    return known or Advice(kind.replace("_", " ").capitalize(), "")
