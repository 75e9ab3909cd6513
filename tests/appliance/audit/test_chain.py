"""The chain shows every change."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.audit import chain
from appliance.audit.model import Actor, End, Entry, Head, RecordedEntry

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


def stored(entry: RecordedEntry) -> chain.StoredRow:
    position, recorded_at, *texts = msgspec.structs.astuple(entry)
    return (position, recorded_at, *(text.encode() for text in texts))


def fault_of(entries: list[RecordedEntry], head: Head) -> str:
    last, fault = chain.followed(chain.START, entries)
    newest = entries[-1].position if entries else 0
    return fault or chain.end_fault(last, End(head, newest))


@given(log=logs)
def test_a_log_that_was_only_appended_to_has_no_fault(log: list[Entry]) -> None:
    made, head = recorded(log)
    assert fault_of(made, head) == ""
    assert chain.followed(chain.START, made) == (Head(len(log), head.hash), "")


@given(log=logs, data=st.data())
def test_a_check_in_two_halves_finds_what_a_whole_one_does(log: list[Entry], data: st.DataObject) -> None:
    made, _ = recorded(log)
    place = data.draw(st.integers(0, len(made)))
    middle, _ = chain.followed(chain.START, made[:place])
    assert chain.followed(middle, made[place:]) == chain.followed(chain.START, made)


@given(log=logs, data=st.data())
def test_any_byte_of_the_file_that_is_another_is_found(log: list[Entry], data: st.DataObject) -> None:
    made, _ = recorded(log)
    place = data.draw(st.integers(0, len(made) - 1))
    rows = [stored(one) for one in made]
    assert chain.followed_rows(chain.START, rows)[1] == ""
    column = data.draw(st.sampled_from([at for at in range(2, 9) if rows[place][at]]))
    text = bytearray(rows[place][column])
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    changed = list(rows[place])
    changed[column] = bytes(text)
    rows[place] = tuple(changed)  # type: ignore[assignment]  # of the same types as before
    last, fault = chain.followed_rows(chain.START, rows)
    assert (last.position, fault) == (place, f"entry {place + 1} was changed")


def test_entries_behind_the_end_are_found() -> None:
    made, _ = recorded([Entry("a", "b"), Entry("c", "d")])
    head = Head(1, made[0].hash)
    last, _ = chain.followed(chain.START, made[:1])
    assert "put behind its end" in chain.end_fault(last, End(head, 2))


@given(log=logs, data=st.data())
def test_whatever_is_changed_in_an_entry_is_found(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    place = data.draw(st.integers(0, len(made) - 1))
    field = data.draw(st.sampled_from(RecordedEntry.__struct_fields__))
    before = getattr(made[place], field)
    value = before + 1 if isinstance(before, int) else before + "x"
    made[place] = msgspec.structs.replace(made[place], **{field: value})
    assert fault_of(made, head)


@given(log=logs, data=st.data())
def test_whatever_is_removed_is_found_the_end_too(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    gone = data.draw(st.sets(st.integers(0, len(made) - 1), min_size=1))
    left = [one for place, one in enumerate(made) if place not in gone]
    assert fault_of(left, head)


@given(log=st.lists(entries, min_size=2, max_size=8, unique_by=repr), data=st.data())
def test_entries_that_change_places_are_found(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    order = data.draw(st.permutations(made))
    assert bool(fault_of(order, head)) == (order != made)


@given(log=logs, data=st.data())
def test_an_entry_that_was_replaced_together_with_its_own_hash_is_found(log: list[Entry], data: st.DataObject) -> None:
    made, head = recorded(log)
    place = data.draw(st.integers(0, len(made) - 1))
    before = made[place - 1].hash if place else chain.START.hash
    forged = msgspec.structs.replace(made[place], subject=made[place].subject + "x")
    made[place] = msgspec.structs.replace(forged, hash=chain.hash_of(before, forged))
    assert fault_of(made, head)


def test_texts_cannot_be_shifted_from_one_field_into_the_next() -> None:
    first, _ = recorded([Entry("ab", "c")])
    second, _ = recorded([Entry("a", "bc")])
    assert first[0].hash != second[0].hash


def test_a_log_without_entries_is_well() -> None:
    assert fault_of([], chain.START) == ""
    assert "cut off" in fault_of([], Head(3, "f" * 64))
