"""What may be described of a command, and what its parameters may be."""

from typing import Any

import msgspec
import pytest

from appliance.commands.catalogue.check import described, payload_of
from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.commands.model import InvalidCommandError

SPEED = Parameter("speed", Kind.INTEGER, unit="rpm", least=0, greatest=3_000, is_required=True)
MODE = Parameter("mode", Kind.ENUM, choices=("eco", "full"), default="eco")
SPIN = CommandType(
    "spin",
    parameters=(
        SPEED,
        MODE,
        Parameter("note", Kind.STRING, least=2, greatest=5),
        Parameter("ratio", Kind.NUMBER),
        Parameter("soft", Kind.BOOLEAN),
    ),
)


def test_the_payload_is_the_parameters_with_what_is_usual() -> None:
    told = {"speed": 300.0, "note": "abc", "ratio": 0.5, "soft": True}
    assert msgspec.json.decode(payload_of(described(SPIN), told)) == {
        "speed": 300,
        "mode": "eco",
        "note": "abc",
        "ratio": 0.5,
        "soft": True,
    }


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({}, "needs the parameter speed"),
        ({"speed": 3_001}, "at most 3000 rpm"),
        ({"speed": -1}, "at least 0 rpm"),
        ({"speed": True}, "an integer"),
        ({"speed": 1.5}, "an integer"),
        ({"speed": "1"}, "an integer"),
        ({"speed": 1, "mode": "wild"}, "one of eco, full"),
        ({"speed": 1, "note": "x"}, "the length of note"),
        ({"speed": 1, "note": 7}, "a string"),
        ({"speed": 1, "soft": 1}, "a boolean"),
        ({"speed": 1, "ratio": float("inf")}, "no number"),
        ({"speed": 1, "other": 1}, "has no parameter 'other'"),
    ],
)
def test_what_the_description_does_not_allow_is_refused_with_its_reason(parameters: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidCommandError, match=word):
        payload_of(SPIN, parameters)


def test_a_template_puts_values_where_they_belong() -> None:
    kind = msgspec.structs.replace(
        SPIN, payload_template='{"op": "spin", "a": ["${speed}", "${note}"], "m": "${mode}"}'
    )
    filled = msgspec.json.decode(payload_of(described(kind), {"speed": 7}))
    assert filled == {"op": "spin", "a": [7], "m": "eco"}


@pytest.mark.parametrize(
    "told",
    [
        CommandType("a b"),
        CommandType("a", description="x" * 2_001),
        CommandType("a", parameters=(SPEED, SPEED)),
        CommandType("a", parameters=tuple(Parameter(f"p{n}") for n in range(51))),
        CommandType("a", parameters=(Parameter("7"),)),
        CommandType("a", parameters=(Parameter("p", unit="x" * 33),)),
        CommandType("a", parameters=(Parameter("p", Kind.ENUM),)),
        CommandType("a", parameters=(Parameter("p", choices=("x",)),)),
        CommandType("a", parameters=(Parameter("p", Kind.BOOLEAN, least=1),)),
        CommandType("a", parameters=(Parameter("p", Kind.NUMBER, least=2, greatest=1),)),
        CommandType("a", parameters=(Parameter("p", Kind.NUMBER, default="x"),)),
        CommandType("a", payload_template="{"),
        CommandType("a", payload_template='"${p}"'),
        CommandType("a", payload_template='"' + "x" * 16_384 + '"'),
    ],
)
def test_what_cannot_be_described_is_refused(told: CommandType) -> None:
    with pytest.raises(InvalidCommandError):
        described(told)
