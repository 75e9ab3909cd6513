"""Which commands are under way to whom."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.delivery.flight import Flight, Key
from appliance.commands.delivery.flights import Flights
from tests.appliance.commands.delivery.test_flight import MESSAGE, Heard
from tests.appliance.commands.examples import command

DEVICES, NUMBERS = ("lamp", "fan"), (7, 8)
keys = st.builds(Key, st.sampled_from([1, 2]), st.sampled_from(DEVICES), st.sampled_from(NUMBERS), st.just(1))


def flight(key: Key) -> Flight:
    return Flight(key, key.device_id, MESSAGE, Heard())


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "remove older"]), keys), max_size=20))
def test_of_each_command_the_last_flight_counts_until_it_is_removed(steps: list[tuple[str, Key]]) -> None:
    flights, expected = Flights(), dict[Key, Flight]()
    for step, key in steps:
        if step == "add":
            expected[key] = flight(key)
            flights.add(expected[key])
        elif step == "remove older":
            flights.remove(flight(key))
        elif key in expected:
            gone = expected.pop(key)
            flights.remove(gone)
            flights.remove(gone)
        assert (len(flights), bool(flights)) == (len(expected), bool(expected))
        assert set(flights.all()) == set(expected.values())
        for tenant_id in (1, 2):
            for device_id in DEVICES:
                own = {one for one in expected.values() if one.key.place == (tenant_id, device_id)}
                assert set(flights.to((tenant_id, device_id))) == own
                assert flights.count_to((tenant_id, device_id)) == len(own)
                for number in NUMBERS:
                    asked = command(tenant_id=tenant_id, device_id=device_id, command_number=number)
                    assert flights.of(asked) is expected.get(Key(tenant_id, device_id, number, 1))


def test_who_goes_through_them_may_remove_them() -> None:
    flights = Flights()
    for number in NUMBERS:
        flights.add(flight(Key(1, "lamp", number, 1)))
    for one in flights.to((1, "lamp")):
        flights.remove(one)
    assert not flights.all()
