"""What is remembered is bounded, and what is used is not forgotten for what is not."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.policies.memory import DEVICE_LIMIT, Decisions, Generations
from appliance.policies.model import Action

MOST_WISHES = 31
keys = st.integers(0, MOST_WISHES - 1)


def ask(decisions: Decisions, device_id: str, wish: str, device: object = None) -> bool:
    """Decide, as the book does; whether it was remembered."""
    known = decisions.of(device_id, device)
    question = (Action.PUBLISH, wish)
    if decisions.recall(known, question):
        assert known.young[question] == f"{device_id} {wish}"
        return True
    decisions.remember(known, question, f"{device_id} {wish}")
    return False


@given(limit=st.integers(1, 8), asked=st.lists(st.tuples(keys, st.booleans())))
def test_generations_give_what_was_put_or_nothing_and_stay_within_their_bounds(
    limit: int, asked: list[tuple[int, bool]]
) -> None:
    generations: Generations[int, str] = Generations(limit)
    known: dict[int, str] = {}
    for step, (key, is_put) in enumerate(asked):
        if is_put:
            generations.put(key, str(step))
            known[key] = str(step)
        else:
            assert generations.get(key) in (None, known.get(key))
        assert len(generations) <= 2 * limit


@given(limit=st.integers(2, 8), others=st.lists(keys, max_size=60))
def test_what_is_asked_for_between_any_two_others_is_never_forgotten(limit: int, others: list[int]) -> None:
    generations: Generations[str, int] = Generations(limit)
    generations.put("used", 0)
    for each in others:
        generations.put(str(each), each)
        assert generations.get("used") == 0


@given(limit=st.integers(2, 40), asked=st.lists(st.tuples(st.sampled_from("abcdef"), keys), max_size=200))
def test_decisions_stay_within_their_bounds_and_are_those_that_were_made(
    limit: int, asked: list[tuple[str, int]]
) -> None:
    decisions = Decisions(limit)
    for device_id, wish in asked:
        ask(decisions, device_id, str(wish))
        assert len(decisions) <= 2 * limit + 2 * MOST_WISHES
        young = decisions._young.values()
        assert decisions._young_size == sum(len(known) + 1 for known in young)
        assert decisions._young_size <= limit or len(young) == 1


def test_a_device_that_asks_for_ever_new_topics_empties_nobody_elses_memory_nor_its_own_in_use() -> None:
    decisions = Decisions(1_000)
    others = [f"d{number}" for number in range(20)]
    for device_id in others:
        ask(decisions, device_id, "telemetry")
    ask(decisions, "greedy", "telemetry")
    for number in range(65_536):
        ask(decisions, "greedy", f"topic {number}")
        if number % DEVICE_LIMIT == 0:
            assert ask(decisions, "greedy", "telemetry")
    assert all(ask(decisions, device_id, "telemetry") for device_id in others)
    assert len(decisions) <= 2 * DEVICE_LIMIT + len(others)


def test_more_devices_than_there_is_room_for_leave_those_in_that_are_used() -> None:
    decisions = Decisions(100)
    for number in range(1_000):
        ask(decisions, f"d{number}", "once")
        assert ask(decisions, "busy", "often") or number == 0


def test_a_device_that_is_another_one_now_is_decided_anew() -> None:
    decisions = Decisions(100)
    first, second = object(), object()
    assert not ask(decisions, "a", "x", first)
    assert ask(decisions, "a", "x", first)
    assert not ask(decisions, "a", "x", second)
