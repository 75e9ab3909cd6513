"""Messages as scripts are given them."""

from base64 import b64encode

import msgspec

from appliance.instant import to_text
from appliance.stream.replay.messages.model import GivenMessage


class MessageOut(msgspec.Struct, frozen=True):
    """A message. Its payload is text where that says it byte for byte, else base64."""

    topic: str
    client_id: str
    arrived_at: str
    content_type: str
    encoding: str
    """`text` (UTF-8) or `base64`."""
    payload: str


def message_out(message: GivenMessage) -> MessageOut:
    """A message."""
    try:
        encoding, payload = "text", message.payload.decode()
    except UnicodeDecodeError:
        encoding, payload = "base64", b64encode(message.payload).decode()
    return MessageOut(
        topic=message.topic,
        client_id=message.client_id,
        arrived_at=to_text(message.arrived_at),
        content_type=message.content_type,
        encoding=encoding,
        payload=payload,
    )
