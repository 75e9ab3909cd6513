"""Execution ids as devices see them."""

import pytest

from appliance.commands.model import read_wire_id, wire_id
from tests.appliance.commands.examples import EXECUTION, command


@pytest.mark.parametrize("attempt", [1, 2, 21])
def test_an_execution_id_is_read_as_it_was_written(attempt: int) -> None:
    assert read_wire_id(wire_id(EXECUTION, attempt)) == (EXECUTION, attempt)


@pytest.mark.parametrize("text", ["x-", "x-1", "x-0", "x--2", "x-²", "x-99999", "x-2-2"])
def test_what_nobody_wrote_is_no_attempt(text: str) -> None:
    assert read_wire_id(text)[1] == 0


def test_no_two_attempts_share_an_execution_id() -> None:
    assert command().wire_id == EXECUTION
    assert command(attempt=2).wire_id == f"{EXECUTION}-2"
    assert not command().is_over
