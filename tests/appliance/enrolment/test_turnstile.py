import pytest

from appliance.accounts.throttle import ATTEMPTS_A_MINUTE
from appliance.enrolment import turnstile
from appliance.enrolment.turnstile import Turnstile
from appliance.errors import TooManyAttemptsError
from appliance.instant import MINUTE_MS


def test_an_address_waits_after_as_many_as_it_may_and_others_do_not() -> None:
    gate = Turnstile()
    for _ in range(ATTEMPTS_A_MINUTE):
        gate.check("192.0.2.1", 0)
        gate.count("192.0.2.1", 0)
    with pytest.raises(TooManyAttemptsError, match="60 seconds"):
        gate.check("192.0.2.1", 0)
    gate.check("192.0.2.2", 0)
    gate.check("192.0.2.1", MINUTE_MS)


def test_addresses_of_one_ipv6_network_wait_together() -> None:
    gate = Turnstile()
    for number in range(ATTEMPTS_A_MINUTE):
        gate.count(f"2001:db8::{number}", 0)
    with pytest.raises(TooManyAttemptsError):
        gate.check("2001:db8::ffff", 0)
    gate.check("2001:db8:0:1::1", 0)


def test_a_higher_limit_lets_more_through() -> None:
    gate = Turnstile(ATTEMPTS_A_MINUTE + 1)
    for _ in range(ATTEMPTS_A_MINUTE + 1):
        gate.check("192.0.2.1", 0)
        gate.count("192.0.2.1", 0)
    with pytest.raises(TooManyAttemptsError):
        gate.check("192.0.2.1", 0)


def test_only_so_many_addresses_are_remembered() -> None:
    gate = Turnstile()
    for number in range(turnstile.REMEMBERED + 5):
        gate.count(str(number), 0)
    assert len(gate._minutes) == turnstile.REMEMBERED
