"""What an authoriser may answer, and what becomes of answers that make no sense."""

import pytest

from broker.ports import Denied
from broker.reason_codes import ReasonCode


@pytest.mark.parametrize("code", [0x80, 0x87, 0x97, 0x8C])
def test_a_code_that_refuses_is_told(code: int) -> None:
    assert Denied("no", code).reason_code == code


@pytest.mark.parametrize("code", [0, 1, 0x18, 0x7F, 0xFF, -1, 1_000])
def test_a_code_that_is_none_or_refuses_nothing_is_not_authorized(code: int) -> None:
    assert Denied("no", code).reason_code is ReasonCode.NOT_AUTHORIZED
