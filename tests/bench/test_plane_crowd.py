from hypothesis import given
from hypothesis import strategies as st

from bench import packets
from bench.plane_crowd import packet_at


def taken(stream: bytes) -> list[bytes]:
    """The bodies of all packets that are whole."""
    found, at = [], 0
    while (place := packet_at(stream, at)) is not None:
        begins, ends = place
        found.append(stream[begins:ends])
        at = ends
    return found


@given(st.lists(st.integers(0, 20_000), max_size=4), st.integers(0, 50_000))
def test_packets_are_taken_whole_or_not_at_all(sizes: list[int], cut: int) -> None:
    written = [packets.publish("t", b"." * size, number + 1) for number, size in enumerate(sizes)]
    stream = b"".join(written)[:cut]
    whole = 0
    while whole < len(written) and sum(map(len, written[: whole + 1])) <= len(stream):
        whole += 1
    assert [len(body) for body in taken(stream)] == [
        len(packets.publish("t", b"", 1)) - 2 + size for size in sizes[:whole]
    ]


def test_an_acknowledgement_has_its_identifier_for_a_body() -> None:
    assert taken(packets.puback(513) + b"\x40") == [b"\x02\x01"]
