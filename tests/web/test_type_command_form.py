"""The description of a command as it is typed in."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.catalogue import check
from appliance.commands.catalogue.model import CommandType, Kind, Parameter, Value
from appliance.commands.model import DialectName, InvalidCommandError
from web.type_command_form import rows_of, told, typed_of, with_row, without_row

PLAIN = {"name": "spin", "rows": "1", "p1.name": "rpm", "p1.kind": "integer"}

_texts = st.text("abc Ü°/<", max_size=8).map(str.strip)
_numbers = st.none() | st.integers(-100, 100).map(float) | st.floats(-1e9, 1e9)


@st.composite
def parameters(draw: st.DrawFn, name: str) -> Parameter:
    kind = draw(st.sampled_from(Kind))
    bounds = sorted(draw(st.lists(st.integers(-50, 50).map(float), min_size=2, max_size=2)))
    has_bounds = kind in (Kind.INTEGER, Kind.NUMBER) and draw(st.booleans())
    defaults: dict[Kind, st.SearchStrategy[Value]] = {
        Kind.STRING: st.text("abc", min_size=1, max_size=5),
        Kind.INTEGER: st.integers(int(bounds[0]), int(bounds[1])),
        Kind.NUMBER: st.floats(*bounds),
        Kind.BOOLEAN: st.booleans(),
        Kind.ENUM: st.just("eco"),
    }
    return Parameter(
        name,
        kind,
        draw(_texts),
        draw(_texts),
        bounds[0] if has_bounds else None,
        bounds[1] if has_bounds else None,
        ("eco", "full power") if kind is Kind.ENUM else (),
        draw(st.booleans()),
        draw(st.none() | defaults[kind]),
    )


@st.composite
def commands(draw: st.DrawFn) -> CommandType:
    return CommandType(
        "spin",
        draw(_texts),
        draw(_texts),
        tuple(draw(parameters(f"p{number}")) for number in range(draw(st.integers(0, 3)))),
        draw(st.sampled_from(DialectName)),
        draw(st.booleans()),
    )


@given(commands())
def test_a_description_is_read_as_it_is_written_into_the_form(command: CommandType) -> None:
    check.described(command)
    assert told(typed_of(command)) == (command, {})


@given(
    st.dictionaries(
        st.sampled_from(
            (
                "name",
                "title",
                "payload_template",
                "dialect",
                "rows",
                *(f"p1.{x}" for x in ("name", "kind", "least", "greatest", "choices", "default", "unit")),
                "p2.name",
            )
        ),
        st.text(max_size=12) | st.sampled_from(("enum", "boolean", "number", "1", "2", "0", "spin", "1e400", "nan")),
    )
)
def test_a_form_without_complaints_is_a_description_that_can_be(typed: dict[str, str]) -> None:
    command, complaints = told({**PLAIN, **typed})
    if not complaints:
        check.described(command)
    else:
        assert all(text and not text.startswith("parameter ") for text in complaints.values())


@pytest.mark.parametrize(
    ("typed", "field", "why"),
    [
        ({"name": ""}, "name", "a command is named by"),
        ({"title": "x" * 2_001}, "title", "at most 2,000"),
        ({"description": "x" * 2_001}, "description", "at most 2,000"),
        ({"dialect": "morse"}, "dialect", "none of the choices"),
        ({"p1.name": "", "p1.unit": "rpm"}, "p1.name", "begins with a letter"),
        ({"p1.kind": "colour"}, "p1.kind", "none of the choices"),
        ({"p1.kind": "enum"}, "p1.choices", "choices"),
        ({"p1.least": "low"}, "p1.least", "is no number"),
        ({"p1.least": "5", "p1.greatest": "4"}, "p1.greatest", "not below the greatest"),
        ({"p1.greatest": "4", "p1.default": "5"}, "p1.default", "rpm of spin is at most 4"),
        ({"p1.default": "4.5"}, "p1.default", "no whole number"),
        ({"p1.kind": "boolean", "p1.default": "perhaps"}, "p1.default", "yes or no"),
        ({"p1.unit": "x" * 33}, "p1.unit", "too long"),
        ({"rows": "2", "p2.name": "rpm"}, "p2.name", "above"),
        ({"payload_template": "{"}, "payload_template", "no JSON"),
        ({"payload_template": '"${speed}"'}, "payload_template", "names 'speed'"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(typed: dict[str, str], field: str, why: str) -> None:
    complaints = told({**PLAIN, **typed}).complaints
    assert list(complaints) == [field]
    assert why in complaints[field]


def test_all_that_is_wrong_with_a_parameter_is_told_at_once() -> None:
    wrong = {"p1.name": "1st", "p1.least": "low", "p1.greatest": "5", "p1.default": "6"}
    complaints = told({**PLAIN, **wrong}).complaints
    assert set(complaints) == {"p1.name", "p1.least", "p1.default"}
    assert complaints["p1.default"] == "value of spin is at most 5, not 6"


def test_what_does_not_apply_to_a_kind_is_not_read() -> None:
    typed = {**PLAIN, "p1.kind": "boolean", "p1.least": "4", "p1.choices": "eco"}
    assert told(typed).command.parameters == (Parameter("rpm", Kind.BOOLEAN),)


def test_an_empty_parameter_is_none_and_rows_come_and_go() -> None:
    assert told({**PLAIN, "rows": "3"}).command.parameters == (Parameter("rpm", Kind.INTEGER),)
    grown = {**with_row(PLAIN), "p2.name": "mode"}
    assert [row.typed["name"] for row in rows_of(grown)] == ["rpm", "mode"]
    assert [row.typed["name"] for row in rows_of(without_row(grown, 1))] == ["mode"]
    assert without_row(grown, 9)["rows"] == "2"
    assert rows_of({"rows": "many"}) == []


def test_what_is_kept_is_what_the_service_keeps() -> None:
    with pytest.raises(InvalidCommandError):
        check.described(msgspec.structs.replace(told(PLAIN).command, name=""))
