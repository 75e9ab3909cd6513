"""A device at the broker without a network: a fake of the port through which connections come."""

from broker.encode import encode
from broker.packets import V4, Connect, Packet, Properties
from broker.ports import Principal, Receiver
from tests.web.house import House


class Wire:
    """One connection of a device; what it is sent stays in `sent`."""

    transport = "tls"
    certificate: bytes | None = None
    address = "192.0.2.7:4711"

    def __init__(self) -> None:
        self.opened_at = self.heard_at = 0.0
        self.unsent_bytes = 0
        self.sent = b""
        self._receiver: Receiver | None = None

    @property
    def is_open(self) -> bool:
        return self._receiver is not None

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def pause(self) -> None:
        """Nothing comes but what a test says."""

    def resume(self) -> None:
        """As of `pause`."""

    def send(self, data: bytes) -> int:
        self.sent += data
        return self.unsent_bytes

    def close(self, reason: str) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(reason)

    def cut_off(self, reason: str) -> None:
        self.close(reason)

    def say(self, *packets: Packet, level: int = V4) -> None:
        for packet in packets:
            if self._receiver is not None:
                self._receiver.received(encode(packet, level))


def plugged(
    house: House, device_id: str, client_id: str = "", level: int = V4, expiry_s: int = 0, *, is_operator: bool = False
) -> Wire:
    """A device that is connected."""
    wire = Wire()
    house.gateway.broker.attach(wire, Principal(1, device_id, is_operator=is_operator))
    properties = Properties(session_expiry_s=expiry_s) if expiry_s else Properties()
    wire.say(Connect(level, client_id or device_id, True, 0, properties=properties), level=level)
    assert wire.is_open
    return wire
