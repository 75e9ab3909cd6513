"""What all dialects have in common."""

import pytest

from appliance.commands.dialects.dialect import report_of, state_of
from appliance.commands.model import State
from appliance.commands.ruling import Refusal, Report


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.SUCCEEDED, State.FAILED, State.REJECTED, State.TIMED_OUT])
def test_a_device_may_write_its_words_in_capitals(state: State) -> None:
    assert state_of(state.value) is state_of(state.value.upper()) is state


@pytest.mark.parametrize("word", ["queued", "sent", "acknowledged", "cancelled", "", None, 7, ["succeeded"]])
def test_a_device_does_not_tell_what_the_gateway_knows(word: object) -> None:
    assert state_of(word) is None


def test_a_report_has_bounds() -> None:
    assert report_of(State.FAILED, "JAM", "jammed", None) == Report(State.FAILED, "JAM", "jammed")
    for code, reason, result in (("x" * 65, "", None), ("", "x" * 1_025, None), ("", "", "x" * 32_767), (None, "", 1)):
        assert isinstance(report_of(State.FAILED, code, reason, result), Refusal)
