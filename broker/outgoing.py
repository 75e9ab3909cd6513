"""How a message is written for one connection: its version, its topic aliases, the size it takes."""

from broker.encode import publish_bytes
from broker.message import Message
from broker.packets import NO_PROPERTIES, V4, V5, Properties
from broker.properties import encode_properties
from broker.publication import delivered_properties

LONGEST_REASON_BYTES = 256
REST_BYTES = 15
"""More than there is besides the reason string and the reason codes in any packet that has them."""


class Outgoing:
    """What one connection has agreed to be sent."""

    __slots__ = ("_alias_limit", "_aliases", "is_plain", "level", "packet_limit", "tells_reasons")

    def __init__(
        self,
        level: int = V4,
        alias_limit: int = 0,
        packet_limit: int | None = None,
        *,
        tells_reasons: bool = False,
    ) -> None:
        """`packet_limit` is in bytes. Before CONNECT nothing is agreed."""
        self.level = level
        self.packet_limit = packet_limit
        self.tells_reasons = tells_reasons
        """Whether reason strings go along with acknowledgements [MQTT-3.1.2-29]."""
        self.is_plain = not alias_limit and packet_limit is None
        """Whether a PUBLISH is the same for this connection as for every other of its version."""
        self._alias_limit = alias_limit
        self._aliases: dict[str, int] | None = None

    def publish_bytes(
        self,
        message: Message,
        first: int,
        packet_id: int,
        now: int,
        identifiers: tuple[int, ...] = (),
        *,
        may_alias: bool = True,
    ) -> bytes | None:
        """The PUBLISH of a message, beginning with this byte; None when it is larger than the client takes.

        `now` is UTC milliseconds. A topic alias counts from these bytes on, so none may be used where other
        bytes can overtake them.
        """
        topic = message.topic
        encoded = b""
        alias = None
        if self.level == V5:
            if self._alias_limit and may_alias:
                topic, alias = self._aliased(topic)
            encoded = encode_properties(delivered_properties(message, now, identifiers, alias))
        data = publish_bytes(first, topic.encode(), packet_id, encoded, message.payload)
        if self.packet_limit is not None and len(data) > self.packet_limit:
            if alias is None:
                return None
            if topic and self._aliases is not None:
                # It was given just now, as the last one, and the PUBLISH that would tell it is not sent.
                del self._aliases[message.topic]
            # With an alias a packet can be longer than without.
            return self.publish_bytes(message, first, packet_id, now, identifiers, may_alias=False)
        return data

    def reason(self, text: str, code_count: int = 1) -> Properties:
        """A reason string that fits beside so many reason codes [MQTT-3.2.2-19], [MQTT-3.9.2-1]."""
        if self.level != V5:
            return NO_PROPERTIES
        limit = LONGEST_REASON_BYTES
        if self.packet_limit is not None:
            limit = min(limit, self.packet_limit - REST_BYTES - code_count)
        return Properties(reason_string=text.encode()[:limit].decode(errors="ignore")) if limit > 0 else NO_PROPERTIES

    def _aliased(self, topic: str) -> tuple[str, int | None]:
        """The topic to write and its alias: the first topics of a connection get those there are [MQTT-3.3.2-10]."""
        if self._aliases is None:
            self._aliases = {}
        alias = self._aliases.get(topic)
        if alias is not None:
            return "", alias
        if len(self._aliases) >= self._alias_limit:
            return topic, None
        alias = self._aliases[topic] = len(self._aliases) + 1
        return topic, alias
