"""An application message: what travels, whoever published it and however it is sent on."""

import msgspec

from broker.packets import NO_PROPERTIES, Properties

TenantId = int


class Message(msgspec.Struct, frozen=True, gc=False):
    """One application message on its way: to the owner, to subscribers, into a queue, retained."""

    tenant_id: TenantId
    principal: str
    client_id: str
    """Whose it is; the owner's own messages have an empty one."""
    topic: str
    payload: bytes
    qos: int
    retain: bool
    arrived_at: int
    """UTC milliseconds."""
    properties: Properties = NO_PROPERTIES
    """Those that travel with the message: content type, user properties and so on."""
    expires_at: int | None = None
    """UTC milliseconds [MQTT 5, 3.3.2.3.3]; None is never."""
    is_operators: bool = False
    """Whether an operator published it."""
    packet_identifier: bytes = b""
    """The two bytes that stood in its PUBLISH; empty where none did."""
    is_redelivery: bool = False
    """Whether its PUBLISH said that it may have been sent before [MQTT-3.3.1-1]."""

    @property
    def size_bytes(self) -> int:
        """Topic, payload and properties, as on the wire within a few bytes: a property can be as large as a payload."""
        size = len(self.topic.encode()) + len(self.payload)
        return size if self.properties is NO_PROPERTIES else size + _size_bytes(self.properties)


def _size_bytes(properties: Properties) -> int:
    # Asked of every message that is delivered: no list is made for it.
    size = len(properties.correlation_data or b"")
    if properties.content_type:
        size += len(properties.content_type.encode())
    if properties.response_topic:
        size += len(properties.response_topic.encode())
    for name, value in properties.user_properties:
        size += len(name.encode()) + len(value.encode())
    return size
