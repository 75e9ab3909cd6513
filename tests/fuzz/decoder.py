"""Any stream into `Decoder.feed`: whole and sliced, of both versions.

Run long as `python -m tests.fuzz.decoder --minutes 10`.
"""

import sys
import zlib

from broker.codec import Decoder, encode
from broker.packets import V4, V5, Connect, Packet
from tests.fuzz import mutation
from tests.fuzz.mutation import dice_of
from tests.fuzz.search import Target, main

_SMALL_BYTES = 64
_LONGEST_HEADER_BYTES = 5


def check(data: bytes) -> None:
    """No bytes raise anything, however they come, and what was read can be written and read again."""
    for level in (V4, V5):
        whole = Decoder(protocol_level=level)
        packets = whole.feed(data)
        _check_slices(data, level, packets, whole)
        _check_writing(packets, level)
        _check_bound(data, level)


def _check_slices(data: bytes, level: int, packets: list[Packet], whole: Decoder) -> None:
    dice = dice_of(zlib.crc32(data))
    sliced = Decoder(protocol_level=level)
    found = []
    at = 0
    while at < len(data):
        size = dice.choice((1, 1, 2, 3, 7, 40))
        found += sliced.feed(data[at : at + size])
        at += size
    assert found == packets
    assert (sliced.failure is None) == (whole.failure is None)
    if sliced.failure is not None and whole.failure is not None:
        assert (sliced.failure.code, sliced.failure.reason) == (whole.failure.code, whole.failure.reason)
        assert sliced.feed(data) == []
    assert sliced.protocol_level == whole.protocol_level


def _check_writing(packets: list[Packet], level: int) -> None:
    for packet in packets:
        if isinstance(packet, Connect):
            if packet.protocol_level not in (V4, V5):
                continue
            level = packet.protocol_level
        again = Decoder(protocol_level=level)
        assert again.feed(encode(packet, level)) == [packet]
        assert again.failure is None


def _check_bound(data: bytes, level: int) -> None:
    decoder = Decoder(_SMALL_BYTES, _SMALL_BYTES // 2, level)
    for at in range(0, len(data), 16):
        for packet in decoder.feed(data[at : at + 16]):
            # A packet may be written in fewer bytes than it came in, never in more.
            if not isinstance(packet, Connect):
                assert len(encode(packet, decoder.protocol_level)) <= _SMALL_BYTES + _LONGEST_HEADER_BYTES
        assert len(decoder._unfinished) <= _SMALL_BYTES + _LONGEST_HEADER_BYTES


def _probe(data: bytes) -> None:
    for level in (V4, V5):
        _check_writing(Decoder(protocol_level=level).feed(data), level)


TARGET = Target("decoder", check, mutation.of_packets, _probe)

if __name__ == "__main__":
    sys.exit(main(TARGET))
