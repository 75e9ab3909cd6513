import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import MINUTE_MS
from appliance.registry.tokens.throttle import (
    FREE_MISSES,
    Misses,
    after_miss,
    host_of,
    is_near,
    origin,
    wait_ms,
)


@given(st.lists(st.integers(0, 10 * MINUTE_MS)), st.integers(0, 10 * MINUTE_MS))
def test_nobody_waits_longer_than_a_minute_whatever_the_clock_does(moments: list[int], now: int) -> None:
    misses = Misses()
    for moment in moments:
        misses = after_miss(misses, moment)
    assert 0 <= wait_ms(misses, now) <= MINUTE_MS


@given(st.integers(1, 3 * FREE_MISSES), st.integers(0, MINUTE_MS - 1))
def test_a_minute_has_so_many_free_misses(count: int, later: int) -> None:
    misses = Misses()
    for _ in range(count):
        misses = after_miss(misses, 1_000)
    assert (wait_ms(misses, 1_000 + later) > 0) == (count >= FREE_MISSES)
    assert wait_ms(misses, 1_000 + MINUTE_MS) == 0


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7:4711", "192.0.2.7"),
        ("::ffff:192.0.2.7:4711", "192.0.2.7"),
        ("2001:db8:1:2:3::4:4711", "2001:db8:1:2::/64"),
        ("fe80::1%eth0:4711", "fe80::/64"),
        ("", ""),
        ("nowhere:1", "nowhere"),
    ],
)
def test_who_is_counted_together(address: str, counted: str) -> None:
    assert origin(address) == counted


def test_an_address_without_its_port() -> None:
    assert [host_of(each) for each in ("192.0.2.7:1", "::1:1", "[::1]:1")] == ["192.0.2.7", "::1", "::1"]


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("127.0.0.1:1", True),
        ("::1:1", True),
        ("::ffff:127.0.0.1:1", True),
        ("192.168.7.9:1", True),
        ("::ffff:192.168.7.9:1", True),
        ("192.168.8.9:1", False),
        ("nowhere:1", False),
    ],
)
def test_near_is_this_machine_and_what_is_listed(address: str, is_allowed: bool) -> None:
    assert is_near(address, ["192.168.7.0/24", "fd00::/8"]) is is_allowed
