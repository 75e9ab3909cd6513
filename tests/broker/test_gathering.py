"""When to pause: never for the few, soon for the many, and not again and again in vain."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from broker.gathering import DENSE_LOOK_S, LONGEST_WAIT, LOOKS, WORTH_WHILE, Gathering


def judged(gathering: Gathering, look_s: float, served: int, start: float) -> float:
    """Let one judgement's looks pass; gives the time after them."""
    gathering.judge(start)
    for number in range(1, LOOKS + 1):
        assert gathering.looked(served) is (number == LOOKS)
    return start + look_s * LOOKS


@given(
    look_s=st.floats(0.0, DENSE_LOOK_S * 0.9),
    served=st.integers(WORTH_WHILE, 1_000),
    start=st.floats(1.0, 1e6),
)
def test_dense_looks_that_serve_many_while_paused_keep_pausing(look_s: float, served: int, start: float) -> None:
    gathering = Gathering()
    for _ in range(10):
        gathering.judge(judged(gathering, look_s, served, start))
        assert gathering.is_on


@given(look_s=st.floats(DENSE_LOOK_S * 1.1, 10.0), served=st.integers(1, 1_000), start=st.floats(1.0, 1e6))
def test_nobody_pauses_when_looks_are_rare(look_s: float, served: int, start: float) -> None:
    gathering = Gathering()
    gathering.judge(start)
    for _ in range(10):
        for _ in range(LOOKS):
            gathering.looked(served)
        start += look_s * LOOKS
        gathering.judge(start)
        assert not gathering.is_on


def test_pauses_in_vain_are_tried_again_ever_more_rarely() -> None:
    """One client that sends a message when it has the answer to the last: dense looks, and nobody to gather."""
    gathering, now, tries = Gathering(), 1.0, list[int]()
    gathering.judge(now)
    was_on = False
    for number in range(4 * LONGEST_WAIT):
        for _ in range(LOOKS):
            gathering.looked(1)
        now += DENSE_LOOK_S / 10 * LOOKS
        gathering.judge(now)
        if gathering.is_on and not was_on:
            tries.append(number)
        was_on = gathering.is_on
    gaps = [after - before for before, after in pairwise(tries)]
    assert gaps[:4] == sorted(gaps[:4])
    assert gaps[0] < gaps[3] < gaps[-1] <= LONGEST_WAIT + 1
    assert len(tries) < 15
