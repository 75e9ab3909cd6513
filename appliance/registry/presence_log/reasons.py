"""Why a connection ended or did not come about, in the words of AWS IoT's lifecycle events."""

from enum import StrEnum

from broker.reason_codes import ReasonCode


class AwsReason(StrEnum):
    """The words that can come to pass here."""

    API_INITIATED_DISCONNECT = "API_INITIATED_DISCONNECT"
    AUTHORIZATION_FAILED = "AUTHORIZATION_FAILED"
    AUTH_ERROR = "AUTH_ERROR"
    CLIENT_ERROR = "CLIENT_ERROR"
    CLIENT_INITIATED_DISCONNECT = "CLIENT_INITIATED_DISCONNECT"
    CONNECTION_LOST = "CONNECTION_LOST"
    DUPLICATE_CLIENTID = "DUPLICATE_CLIENTID"
    FORBIDDEN_ACCESS = "FORBIDDEN_ACCESS"
    MQTT_KEEP_ALIVE_TIMEOUT = "MQTT_KEEP_ALIVE_TIMEOUT"
    SERVER_ERROR = "SERVER_ERROR"
    SERVER_INITIATED_DISCONNECT = "SERVER_INITIATED_DISCONNECT"
    THROTTLED = "THROTTLED"


_OF_ENDINGS = {
    AwsReason.CLIENT_INITIATED_DISCONNECT: (ReasonCode.SUCCESS, ReasonCode.DISCONNECT_WITH_WILL),
    AwsReason.API_INITIATED_DISCONNECT: (ReasonCode.ADMINISTRATIVE_ACTION,),
    AwsReason.DUPLICATE_CLIENTID: (ReasonCode.SESSION_TAKEN_OVER,),
    AwsReason.MQTT_KEEP_ALIVE_TIMEOUT: (ReasonCode.KEEP_ALIVE_TIMEOUT,),
    AwsReason.FORBIDDEN_ACCESS: (ReasonCode.NOT_AUTHORIZED, ReasonCode.BANNED),
    AwsReason.AUTH_ERROR: (
        ReasonCode.BAD_USERNAME_OR_PASSWORD,
        ReasonCode.BAD_AUTHENTICATION_METHOD,
        ReasonCode.CONTINUE_AUTHENTICATION,
        ReasonCode.RE_AUTHENTICATE,
    ),
    AwsReason.THROTTLED: (
        ReasonCode.QUOTA_EXCEEDED,
        ReasonCode.MESSAGE_RATE_TOO_HIGH,
        ReasonCode.CONNECTION_RATE_EXCEEDED,
        ReasonCode.SERVER_BUSY,
    ),
    AwsReason.SERVER_INITIATED_DISCONNECT: (
        ReasonCode.SERVER_SHUTTING_DOWN,
        ReasonCode.USE_ANOTHER_SERVER,
        ReasonCode.SERVER_MOVED,
        ReasonCode.MAXIMUM_CONNECT_TIME,
    ),
    AwsReason.SERVER_ERROR: (
        ReasonCode.UNSPECIFIED_ERROR,
        ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR,
        ReasonCode.SERVER_UNAVAILABLE,
    ),
    AwsReason.CLIENT_ERROR: (
        ReasonCode.GRANTED_QOS_1,
        ReasonCode.GRANTED_QOS_2,
        ReasonCode.NO_MATCHING_SUBSCRIBERS,
        ReasonCode.NO_SUBSCRIPTION_EXISTED,
        ReasonCode.MALFORMED_PACKET,
        ReasonCode.PROTOCOL_ERROR,
        ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
        ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
        ReasonCode.TOPIC_FILTER_INVALID,
        ReasonCode.TOPIC_NAME_INVALID,
        ReasonCode.PACKET_IDENTIFIER_IN_USE,
        ReasonCode.PACKET_IDENTIFIER_NOT_FOUND,
        ReasonCode.RECEIVE_MAXIMUM_EXCEEDED,
        ReasonCode.TOPIC_ALIAS_INVALID,
        ReasonCode.PACKET_TOO_LARGE,
        ReasonCode.PAYLOAD_FORMAT_INVALID,
        ReasonCode.RETAIN_NOT_SUPPORTED,
        ReasonCode.QOS_NOT_SUPPORTED,
        ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
        ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
        ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
    ),
}

DISCONNECT_REASONS = {code: word for word, codes in _OF_ENDINGS.items() for code in codes}
"""For every code with which a connection can end."""

_OF_KINDS = {code.kind: word for code, word in DISCONNECT_REASONS.items()}
_NO_RIGHT = (AwsReason.FORBIDDEN_ACCESS, AwsReason.AUTH_ERROR)


def disconnect_reason(code: ReasonCode | None) -> AwsReason:
    """Why a connection ended; `code` is what ended it, None where it was lost without a word."""
    return AwsReason.CONNECTION_LOST if code is None else DISCONNECT_REASONS[code]


def connect_failure_reason(kind: str) -> AwsReason:
    """Why a client was not let in, from the broker's short word for it."""
    word = _OF_KINDS.get(kind, AwsReason.AUTHORIZATION_FAILED)
    return AwsReason.AUTHORIZATION_FAILED if word in _NO_RIGHT else word
