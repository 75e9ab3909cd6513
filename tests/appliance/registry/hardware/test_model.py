"""What a token does not do is told as something that may be done later."""

import pytest

from appliance.errors import UnavailableError
from appliance.registry.hardware.model import HardwareBusyError, HardwareKeyError, PinRefusedError


@pytest.mark.parametrize("kind", [HardwareBusyError, HardwareKeyError, PinRefusedError])
def test_each_kind_is_of_what_is_not_there_now_and_has_its_code(kind: type[UnavailableError]) -> None:
    assert issubclass(kind, UnavailableError)
    assert kind.code.startswith("hardware_")
