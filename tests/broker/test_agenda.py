"""Who is due when: nobody early, nobody late by more than a slot, nobody twice, and nobody who was let go."""

from hypothesis import given
from hypothesis import strategies as st

from broker.agenda import Agenda

SLOT_S = 0.5
TIMES = st.floats(0.0, 1_000.0)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("expect"), st.integers(0, 5), TIMES),
        st.tuples(st.just("forget"), st.integers(0, 5), st.just(0.0)),
        st.tuples(st.just("pass"), st.just(0), st.floats(0.0, 300.0)),
    )
)


@given(STEPS)
def test_whoever_is_due_is_found_once_and_never_early_nor_a_slot_late(steps: list[tuple[str, int, float]]) -> None:
    agenda: Agenda[int] = Agenda(SLOT_S)
    expected: dict[int, float] = {}
    now = 0.0
    for kind, who, value in steps:
        if kind == "expect":
            agenda.expect(who, value)
            expected[who] = max(value, now)
        elif kind == "forget":
            agenda.forget(who)
            expected.pop(who, None)
        else:
            now += value
            found = agenda.due(now)
            assert len(found) == len(set(found))
            for one in found:
                assert expected.pop(one) < now
            assert all(now - at <= SLOT_S for at in expected.values() if at < now)
        assert len(agenda) == len(expected)
        assert set(agenda._slot_of) == {one for slot in agenda._slots.values() for one in slot}


def test_a_long_sleep_costs_what_is_due_and_not_the_time_that_passed() -> None:
    agenda: Agenda[str] = Agenda(SLOT_S)
    agenda.expect("soon", 1.0)
    agenda.expect("late", 4e12)
    assert agenda.due(3e12) == ["soon"]
    assert agenda.due(5e12) == ["late"]
    assert len(agenda) == 0
