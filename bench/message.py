"""The message of the load: an event of exactly 500 bytes, made quickly.

Five readings, battery and signal, as the specification's message has them, with values that change; the
rest is white space, as in JSON that a device prints with indentation.
"""

import struct

from appliance.instant import to_text

PAYLOAD_BYTES = 500
FIRST_SEQUENCE = 100_000_000
"""All sequence numbers have nine digits, so that all messages have one length."""

_PACKET_ID = struct.Struct("!H").pack
_LARGEST_PACKET_ID = 65_535
_VARIANTS = 997
_SECOND_MS = 1_000
_MILLISECONDS = [f"{number:03d}Z".encode() for number in range(_SECOND_MS)]


def device_ids(count: int) -> list[str]:
    """The names of the devices of a load."""
    return [f"load-{number:05d}" for number in range(count)]


def packet_id_of(sequence: int) -> int:
    """The packet identifier under which the message of this sequence number is sent."""
    return sequence % _LARGEST_PACKET_ID + 1


class Press:
    """Prints the PUBLISH packets of one device at QoS 1; only what changes is made anew."""

    __slots__ = ("_after", "_before", "_head", "_last_at", "_second", "_second_text", "_variant")

    def __init__(self, device_id: str, place: int) -> None:
        topic = f"sensors/{device_id}/telemetry".encode()
        length = 2 + len(topic) + 2 + PAYLOAD_BYTES
        # Two bytes of remaining length hold 128 to 16,383 [MQTT 3.1.1, 2.2.3].
        self._head = bytes((0x32, length & 0x7F | 0x80, length >> 7, 0, len(topic))) + topic
        self._before = b'{"deviceId":"' + device_id.encode() + b'","timestamp":"'
        end = b',"batteryLevel":85,"signalStrength":-65,"sequence":'
        known = len(self._before) + len(_MILLISECONDS[0]) + 20 + len(_READINGS[0]) + len(end) + 9
        self._after = b" " * (PAYLOAD_BYTES - known - 1) + end
        self._last_at = 0
        self._second = 0
        self._second_text = b""
        self._variant = place * 31

    def packet(self, sequence: int, now: int) -> bytes:
        """One PUBLISH. Its moment is `now`, or a millisecond after the one before: no two are the same."""
        at = self._last_at = max(now, self._last_at + 1)
        second, rest = divmod(at, _SECOND_MS)
        if second != self._second:
            self._second = second
            self._second_text = to_text(at)[:20].encode()
        return b"".join(
            (
                self._head,
                _PACKET_ID(sequence % _LARGEST_PACKET_ID + 1),
                self._before,
                self._second_text,
                _MILLISECONDS[rest],
                _READINGS[(sequence + self._variant) % _VARIANTS],
                self._after,
                b"%d}" % sequence,
            )
        )


def _readings(variant: int) -> bytes:
    """Slow steps back and forth, as physical readings have them, always of the same length."""
    wave = abs(variant % 200 - 100)
    return (
        f'","readings":{{"flowRate":{120 + wave / 10:.1f},"pressure":{40 + wave / 20:.2f},'
        f'"temperature":{18 + wave / 50:.2f},"vibration":{0.1 + wave / 1000:.3f},"humidity":{55 + wave / 25:.2f}}}'
    ).encode()


_READINGS = [_readings(variant) for variant in range(_VARIANTS)]
