"""Why a packet was refused or a connection ended: the reason codes of MQTT 5, section 2.4.

They are used for 3.1.1 clients too, where nothing of them goes over the wire, because they name
each cause once: for logs, counters and the person who asks why a device was refused.
"""

from enum import IntEnum


class ReasonCode(IntEnum):
    """The causes that this broker gives."""

    NORMAL_DISCONNECTION = 0x00
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    NOT_AUTHORIZED = 0x87
    SERVER_BUSY = 0x89
    SERVER_SHUTTING_DOWN = 0x8B
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E

    @property
    def kind(self) -> str:
        """The code as a short stable word, for counters and scripts."""
        return self.name.lower()
