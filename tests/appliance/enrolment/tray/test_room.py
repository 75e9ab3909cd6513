from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.tray.room import giving_way, origin_of

origins = st.sampled_from("abcdefghij")


def after(knocks: list[str], limit: int) -> tuple[Counter[str], Counter[str]]:
    """How many of each network wait, and how many were pushed out or refused, when these knocked one by one."""
    waiting: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    for origin in knocks:
        gone = giving_way(waiting, origin) if waiting.total() >= limit else ""
        if gone is None:
            lost[origin] += 1
            continue
        if gone:
            waiting[gone] -= 1
            lost[gone] += 1
        waiting[origin] += 1
    return waiting, lost


@given(st.lists(origins, max_size=80), st.integers(1, 20))
def test_the_tray_never_holds_more_than_it_may(knocks: list[str], limit: int) -> None:
    waiting, lost = after(knocks, limit)
    assert waiting.total() == min(limit, len(knocks))
    assert waiting + lost == Counter(knocks)


@given(st.lists(origins, max_size=80), st.integers(1, 20))
def test_a_network_within_its_share_loses_nobody_whatever_others_do(knocks: list[str], limit: int) -> None:
    offered = Counter(knocks)
    _, lost = after(knocks, limit)
    for origin, count in offered.items():
        if count <= limit // len(offered):
            assert not lost[origin]


@given(st.dictionaries(origins, st.integers(1, 9), min_size=1), origins)
def test_who_gives_way_had_more_than_the_one_who_comes_and_no_less_than_anybody(
    waiting: dict[str, int], origin: str
) -> None:
    gone = giving_way(waiting, origin)
    if gone is None:
        assert waiting[origin] == max(waiting.values())
    else:
        assert waiting[gone] == max(waiting.values()) > waiting.get(origin, 0)


@pytest.mark.parametrize(
    ("address", "origin"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("192.0.2.200", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_the_addresses_of_one_owner_are_one_origin(address: str, origin: str) -> None:
    assert origin_of(address) == origin
