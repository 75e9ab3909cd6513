import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import ApplianceError, InvalidInputError, NotFoundError
from appliance.telemetry.keeping.erasing.agreement import (
    DEVICES_LIMIT,
    Agreement,
    NotAsExpectedError,
    counted,
    named,
    require_agreed,
)

_devices = st.lists(st.sampled_from("abcdef"), unique=True)


def is_agreed(found: list[str], agreed: Agreement) -> bool:
    with contextlib.suppress(ApplianceError):
        require_agreed(found, agreed)
        return True
    return False


@given(_devices, st.none() | st.integers(0, 6), st.none() | _devices)
def test_nothing_is_erased_but_what_was_expected(
    found: list[str], count: int | None, expected: list[str] | None
) -> None:
    agreed = Agreement(count, None if expected is None else frozenset(expected))
    is_said = count is not None or expected is not None
    is_right = count in {None, len(found)} and (expected is None or set(expected) == set(found))
    assert is_agreed(found, agreed) is bool(found and is_said and is_right)


def test_who_expects_nothing_is_told_what_there_is() -> None:
    with pytest.raises(InvalidInputError, match=r"finds 2 devices \(a, b\): say how many you expect"):
        require_agreed(["a", "b"], Agreement())
    with pytest.raises(NotFoundError, match="finds no device"):
        require_agreed([], Agreement(count=0))


def test_who_expects_others_is_told_what_differs() -> None:
    with pytest.raises(NotAsExpectedError, match=r"finds 2 devices \(a, b\), and 3 were expected"):
        require_agreed(["a", "b"], Agreement(count=3))
    with pytest.raises(NotAsExpectedError, match="finds b, too"):
        require_agreed(["a", "b"], Agreement(device_ids=frozenset({"a"})))
    with pytest.raises(NotAsExpectedError, match="does not find c"):
        require_agreed(["a", "b"], Agreement(device_ids=frozenset({"a", "b", "c"})))


def test_more_than_the_limit_are_not_erased_at_once() -> None:
    names = [f"s-{number:04d}" for number in range(DEVICES_LIMIT + 1)]
    with pytest.raises(InvalidInputError, match="at most 1,000 are erased at once"):
        require_agreed(names, Agreement(count=len(names)))
    require_agreed(names[1:], Agreement(count=DEVICES_LIMIT))
    assert named(names).endswith("s-0009 and 991 more")
    assert (counted(1), counted(1_000)) == ("1 device", "1,000 devices")
