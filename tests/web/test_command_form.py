"""A command as it is typed into a form."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.catalogue import check
from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.commands.check import checked
from appliance.commands.model import CBOR, JSON, DialectName
from web.command_form import command_typed, fields_of

SPEED = CommandType(
    "set_speed",
    parameters=(
        Parameter("speed", Kind.INTEGER, "Of the shaft.", "rpm", least=0, greatest=3_000, is_required=True),
        Parameter("ramp", Kind.NUMBER, unit="s", least=0.5),
        Parameter("direction", Kind.ENUM, choices=("forward", "backward"), default="forward"),
        Parameter("now", Kind.BOOLEAN, is_required=True, default=False),
        Parameter("note", Kind.STRING, greatest=10),
    ),
)
NAMES = [f"p.{parameter.name}" for parameter in SPEED.parameters]
DELIVERY = [
    "qos",
    "dialect",
    "priority",
    "expires_minutes",
    "start_timeout_s",
    "finish_timeout_s",
    "retries",
    "may_repeat",
]


@given(st.dictionaries(st.sampled_from(NAMES + DELIVERY), st.text(max_size=12) | st.integers().map(str)))
def test_what_is_not_complained_of_can_be_sent(typed: dict[str, str]) -> None:
    new, complaints = command_typed(SPEED, "set_speed", typed)
    if not complaints:
        checked(new)
        assert new.parameters is not None
        check.payload_of(SPEED, new.parameters)


@given(st.text(max_size=40), st.sampled_from([JSON, CBOR, "text/plain", "application/octet-stream", "nonsense"]))
def test_any_payload_is_taken_or_complained_of(text: str, content_type: str) -> None:
    typed = {"payload": text, "content_type": content_type}
    new, complaints = command_typed(None, "blink", typed)
    if not complaints:
        checked(new)


def test_what_is_typed_gets_its_kind() -> None:
    typed = {"p.speed": "1200", "p.ramp": "1,5", "p.direction": "backward", "p.now": "no", "p.note": " slow "}
    new, complaints = command_typed(SPEED, "set_speed", typed)
    assert complaints == {}
    assert new.parameters == {"speed": 1_200, "ramp": 1.5, "direction": "backward", "now": False, "note": "slow"}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("p.speed", "", "needs speed"),
        ("p.speed", "1.5", "no whole number"),
        ("p.speed", "3001", "at most 3000 rpm"),
        ("p.ramp", "0.1", "at least 0.5 s"),
        ("p.direction", "sideways", "forward, backward"),
        ("p.now", "perhaps", "none of the choices"),
        ("p.note", "eleven chars", "the length of note is at most 10"),
        ("qos", "0", "none of the choices"),
        ("priority", "101", "not within -100 and 100"),
        ("expires_minutes", "never", "is no number"),
        ("retries", "21", "not within 0 and 20"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(name: str, text: str, why: str) -> None:
    _, complaints = command_typed(SPEED, "set_speed", {"p.speed": "1", name: text})
    assert set(complaints) == {name}
    assert why in complaints[name]


def test_delivery_is_as_usual_unless_it_is_told() -> None:
    usual, _ = command_typed(None, "blink", {})
    assert (usual.qos, usual.may_repeat, usual.expires_in_s, usual.dialect) == (None, None, None, DialectName.ANY)
    assert usual.payload == b"{}"
    typed = {"qos": "2", "may_repeat": "no", "expires_minutes": "0,5", "dialect": "aws", "start_timeout_s": "3"}
    told, complaints = command_typed(None, "blink", typed)
    assert complaints == {}
    assert (told.qos, told.may_repeat, told.expires_in_s, told.dialect) == (2, False, 30, DialectName.AWS)
    assert told.start_timeout_s == 3


def test_bytes_are_typed_in_hexadecimal() -> None:
    new, complaints = command_typed(None, "blink", {"payload": "a1 61 61 01", "content_type": CBOR})
    assert (new.payload, complaints) == (b"\xa1aa\x01", {})
    _, complaints = command_typed(None, "blink", {"payload": "xyz", "content_type": CBOR})
    assert "hexadecimal" in complaints["payload"]


def test_a_command_needs_a_name() -> None:
    assert set(command_typed(None, "", {})[1]) == {"name"}


def test_inputs_have_the_bounds_choices_and_defaults_of_the_description() -> None:
    speed, ramp, direction, now, note = fields_of(SPEED, {"p.ramp": "7"})
    assert (speed.kind, speed.least, speed.greatest, speed.limits) == ("whole", "0", "3000", "0 to 3000 rpm")
    assert (speed.is_required, speed.unit, speed.hint, speed.value) == (True, "rpm", "Of the shaft.", "")
    assert (ramp.kind, ramp.value, ramp.limits) == ("number", "7", "at least 0.5 s")
    assert (direction.value, list(direction.choices)) == ("forward", ["", "forward", "backward"])
    assert (now.value, list(now.choices)) == ("no", ["yes", "no"])
    assert (note.kind, note.greatest, note.limits) == ("text", "10", "at most 10 characters")


def test_a_choice_that_is_needed_and_has_no_default_must_be_made() -> None:
    parameter = Parameter("mode", Kind.ENUM, choices=("a", "b"), is_required=True)
    [field] = fields_of(msgspec.structs.replace(SPEED, parameters=(parameter,)), {})
    assert field.choices == {"": "choose", "a": "a", "b": "b"}
