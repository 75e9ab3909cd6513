"""Whom something waits for, and who is looked at next."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.delivery.expecting import Expecting
from appliance.commands.delivery.flight import Place

LAMP, FAN, PUMP = (1, "lamp"), (1, "fan"), (2, "lamp")


def test_something_waits_for_a_device_until_it_is_said_that_nothing_does() -> None:
    expecting = Expecting()
    for place in (LAMP, FAN, LAMP):
        expecting.add(place)
    assert (len(expecting), LAMP in expecting, PUMP in expecting) == (2, True, False)
    assert not expecting.is_ready
    expecting.remove([LAMP, PUMP])
    assert (len(expecting), LAMP in expecting, FAN in expecting) == (1, False, True)


@given(st.lists(st.sampled_from([LAMP, FAN, PUMP])), st.integers(1, 3))
def test_each_is_looked_at_once_in_the_order_in_which_that_was_asked_for_first(asked: list[Place], count: int) -> None:
    expecting = Expecting()
    for place in asked:
        expecting.look_at(place)
    taken: list[Place] = []
    while expecting.is_ready:
        some = expecting.take(count)
        assert 0 < len(some) <= count
        taken += some
    assert taken == list(dict.fromkeys(asked))
    assert expecting.take(count) == []


def test_who_is_reserved_is_so_until_released() -> None:
    expecting = Expecting()
    expecting.reserve([LAMP, FAN])
    expecting.release(LAMP)
    expecting.release(PUMP)
    assert [expecting.is_reserved(place) for place in (LAMP, FAN, PUMP)] == [False, True, False]
