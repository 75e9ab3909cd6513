"""The chain shows every change."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit import chain
from appliance.audit.model import Actor, Entry, Head, RecordedEntry

texts = st.text(max_size=12)
entries = st.builds(Entry, texts, texts, st.dictionaries(texts, texts, max_size=3), texts)
logs = st.lists(entries, min_size=1, max_size=8)


def recorded(log: list[Entry]) -> tuple[list[RecordedEntry], Head]:
    made, head = [], chain.START
    for entry in log:
        one = chain.appended(head, entry, Actor("ann", "192.0.2.1"), 1_000)
        head = Head(one.position, one.hash)
        made.append(one)
    return made, head


@given(log=logs)
def test_a_log_that_was_only_appended_to_has_no_fault(log: list[Entry]) -> None:
    made, head = recorded(log)
    verdict = chain.judged(1, made, head)
    assert (verdict.fault, verdict.entry_count, verdict.hash) == ("", len(log), head.hash)


@given(log=logs, data=st.data())
def test_whatever_is_changed_in_an_entry_is_found(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    place = data.draw(st.integers(0, len(made) - 1))
    field = data.draw(st.sampled_from(RecordedEntry.__struct_fields__))
    before = getattr(made[place], field)
    value = before + 1 if isinstance(before, int) else before + "x"
    made[place] = msgspec.structs.replace(made[place], **{field: value})
    assert chain.judged(1, made, head).fault


@given(log=logs, data=st.data())
def test_whatever_is_removed_is_found_the_end_too(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    gone = data.draw(st.sets(st.integers(0, len(made) - 1), min_size=1))
    left = [one for place, one in enumerate(made) if place not in gone]
    assert chain.judged(1, left, head).fault


@given(log=st.lists(entries, min_size=2, max_size=8, unique_by=repr), data=st.data())
def test_entries_that_change_places_are_found(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    order = data.draw(st.permutations(made))
    assert bool(chain.judged(1, order, head).fault) == (order != made)


@given(log=logs, data=st.data())
def test_an_entry_that_was_replaced_together_with_its_own_hash_is_found(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    place = data.draw(st.integers(0, len(made) - 1))
    before = made[place - 1].hash if place else chain.START.hash
    forged = msgspec.structs.replace(made[place], subject=made[place].subject + "x")
    made[place] = msgspec.structs.replace(forged, hash=chain.hash_of(before, forged))
    assert chain.judged(1, made, head).fault


def test_texts_cannot_be_shifted_from_one_field_into_the_next() -> None:
    first, _ = recorded([Entry("ab", "c")])
    second, _ = recorded([Entry("a", "bc")])
    assert first[0].hash != second[0].hash


def test_a_log_without_entries_is_well() -> None:
    assert chain.judged(1, [], chain.START).fault == ""
    assert "cut off" in chain.judged(1, [], Head(3, "f" * 64)).fault
