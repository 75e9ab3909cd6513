"""The loop gets its turn within a batch, however little was sent to make much work."""

from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.decide import Decision
from appliance.ingestion.pieces import OBJECT_WEIGHT, PIECE_BYTES, PIECE_MESSAGES, PIECE_WEIGHT, UNUSUAL_WEIGHT
from broker.message import Message
from tests.appliance.ingestion.deciding import Gateway, pieces_of
from tests.appliance.ingestion.examples import NOW, TOLERANCES, message


@given(st.lists(st.sampled_from([0, 1, PIECE_BYTES // 3, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES]), max_size=8))
def test_a_piece_is_never_much_too_heavy(sizes: list[int]) -> None:
    messages = [message(b"x" * size, topic="other") for size in sizes]
    taken: list[int] = []
    pieces: list[list[int]] = [[]]

    class Counted(list[Message]):
        """Notes which message is asked for."""

        def __iter__(self) -> Iterator[Message]:
            for one in super().__iter__():
                pieces[-1].append(len(one.payload))
                taken.append(len(one.payload))
                yield one

    deciding = Decision(Gateway().known).deciding(Counted(messages))
    while next(deciding, "end") is None:
        pieces.append([])
    assert taken == sizes
    assert all(sum(piece[:-1]) < PIECE_BYTES for piece in pieces)


def test_a_piece_has_not_too_many_messages_and_within_one_not_too_many_objects() -> None:
    few = [message(b'{"flow":1}')]
    assert pieces_of(Decision(Gateway().known), few * (PIECE_MESSAGES - 1)) == 0
    assert pieces_of(Decision(Gateway().known), few * PIECE_MESSAGES) == 1
    roomy = Gateway()
    roomy.known.tolerances = msgspec.structs.replace(TOLERANCES, payload_bytes=1_000_000)
    for width in (1, 50, 200):
        told = [{f"m{number}": 1 for number in range(width)}] * 60
        weight = 3 * len(told) * (OBJECT_WEIGHT + width)
        # They are read, then looked at for repeats, then judged.
        pieces = pieces_of(Decision(roomy.known), [message(told)])
        assert pieces >= weight // (PIECE_WEIGHT + OBJECT_WEIGHT + width)


def test_few_bytes_in_another_form_are_much_work_and_so_are_a_piece() -> None:
    cheap_to_send = [message(b"[" + b",".join([b"1"] * 99) + b"]")] * 100
    sent_bytes = sum(len(one.payload) for one in cheap_to_send)
    assert sent_bytes < PIECE_BYTES
    pieces = pieces_of(Decision(Gateway().known), cheap_to_send)
    assert pieces >= sent_bytes * UNUSUAL_WEIGHT // (2 * PIECE_BYTES) > 1


def test_what_is_large_and_is_no_single_object_in_json_is_read_in_another_piece_than_it_is_decoded_in() -> None:
    small, large = [[{"flow": 1}, {"text": "x" * size}] for size in (10, 5_000)]
    assert [pieces_of(Decision(Gateway().known), [message(told)]) for told in (small, large)] == [0, 2]


def test_looking_for_repetitions_among_wide_reports_of_one_moment_is_work_too() -> None:
    told = {"timestamp": NOW, **{f"m{number}": number for number in range(200)}}
    again = [{**told, "sequence": number} for number in range(3)]
    fresh, known = Gateway(), Gateway()
    known.commit([message({**told, "sequence": 50 + number}) for number in range(30)])
    apart, together = [message(one) for one in again], [message(again)]
    assert pieces_of(Decision(fresh.known), apart) < pieces_of(Decision(known.known), apart)
    assert pieces_of(Decision(fresh.known), together) < pieces_of(Decision(known.known), together)
