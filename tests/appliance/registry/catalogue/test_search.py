"""The language in which devices are searched for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.catalogue.model import QUERY_LENGTH, InvalidQueryError
from appliance.registry.catalogue.search import FIELDS, Query, Term, facts_of, matches, parse, printed
from appliance.registry.model import Device, DeviceState
from tests.appliance.registry.catalogue.examples import device, devices

PUMP = device(
    "pump-1",
    name="Feed Pump",
    type="PX-100",
    zone="Hall 2",
    serial_number="=7",
    groups=("blue", "old"),
    attributes={"Firm": "Acme, Ltd", "floor": "3"},
    notes="Leaks: see ticket",
)

_parts = st.text('ab"\\:,*- Ü', max_size=4).map(str.casefold)
_patterns = st.lists(_parts, min_size=1, max_size=3).map(tuple)
_terms = st.one_of(
    st.builds(Term, st.just(""), st.tuples(_patterns.filter(any)), st.booleans()),
    st.builds(
        Term,
        st.sampled_from([*(set(FIELDS) - {"state", "connected"}), "attribute.x"]),
        st.lists(_patterns, min_size=1, max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(Term, st.just("state"), st.sampled_from(DeviceState).map(lambda s: ((s.value,),)), st.booleans()),
    st.builds(Term, st.just("connected"), st.sampled_from([(("yes",),), (("no",),)]), st.booleans()),
)
queries = st.builds(Query, st.lists(_terms, max_size=3).map(tuple)).filter(lambda q: len(printed(q)) <= QUERY_LENGTH)


def found(text: str, one: Device = PUMP, *, connected: bool = True) -> bool:
    return matches(parse(text), facts_of(one), connected=connected)


@given(queries)
def test_what_is_printed_is_read_as_the_same(query: Query) -> None:
    assert parse(printed(query)) == query


@given(st.text(max_size=QUERY_LENGTH))
def test_any_text_is_understood_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except InvalidQueryError:
        return
    matches(query, facts_of(PUMP), connected=True)
    assert len(printed(query)) > QUERY_LENGTH or parse(printed(query)) == query


@given(queries, queries, devices, st.booleans())
def test_more_conditions_never_find_more(one: Query, other: Query, at: Device, connected: bool) -> None:
    facts = facts_of(at)
    both = matches(Query(one.terms + other.terms), facts, connected=connected)
    assert both == (matches(one, facts, connected=connected) and matches(other, facts, connected=connected))


@given(_terms, devices, st.booleans())
def test_a_minus_turns_a_condition_round(term: Term, at: Device, connected: bool) -> None:
    turned = Term(term.field, term.patterns, not term.is_negated)
    found_by = [matches(Query((each,)), facts_of(at), connected=connected) for each in (term, turned)]
    assert sorted(found_by) == [False, True]


def test_attributes_whose_keys_differ_in_capitals_are_one_field() -> None:
    one = device("pump-2", attributes={"Site": "North", "site": "South"})
    assert all(found(text, one) for text in ("attribute.SITE:north", "attribute.site:south", "north", "south"))
    assert not found("-attribute.site:n*", one)


@given(devices)
def test_every_device_is_found_by_what_it_is(at: Device) -> None:
    facts = facts_of(at)
    assert matches(Query(), facts, connected=False)
    for field, value in (("id", at.device_id), ("name", at.name), ("zone", at.zone), ("type", at.type)):
        assert matches(Query((Term(field, ((value.casefold(),),)),)), facts, connected=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "feed",
        "PUMP hall",
        "type:px-100",
        "type:px*",
        "type:*100,other",
        'zone:"hall 2"',
        "zone:h*l*2",
        "group:old -group:new",
        "attribute.firm:acme*",
        'attribute.floor:3 attribute.Firm:"acme, ltd"',
        "state:active,pending",
        "connected:yes",
        "-connected:no",
        "serial:=7",
        "attribute.none:",
        "-notes:",
        '"leaks: see',
        "device_id:pump-1",
        "p*mp",
    ],
)
def test_the_pump_is_found(text: str) -> None:
    assert found(text)


@pytest.mark.parametrize(
    "text",
    ["-feed", "type:px", "type:100*", "zone:", "group:blu", "state:suspended", "connected:no", 'type:"px*"', "x*zz*x"],
)
def test_the_pump_is_not_found(text: str) -> None:
    assert not found(text)


def test_a_device_named_by_a_network_address_is_found_by_it() -> None:
    assert found("aa:bb:0c", device("AA:BB:0C:11"))
    assert found("aa:", device("AA:BB:0C:11"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tpye:pump", "no field 'tpye'"),
        ("attribute.:x", "no field 'attribute.'"),
        ("state:on", "state: takes pending, active, suspended, retired, not 'on'"),
        ("connected:maybe", "connected: takes yes, no"),
        ("connected:", "connected: takes yes, no"),
        ("state:act*", "not 'act*'"),
        ("x" * (QUERY_LENGTH + 1), "at most 200 characters"),
    ],
)
def test_what_is_not_understood_is_told(text: str, sentence: str) -> None:
    with pytest.raises(InvalidQueryError) as error:
        parse(text)
    assert sentence in str(error.value)
