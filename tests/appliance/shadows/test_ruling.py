import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.shadows.model import Address, Verb
from appliance.shadows.ruling import Ruling, Standing, rule
from tests.appliance.shadows.documents import DOCUMENTS

NOW = 1_800_000_000_000
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["state", "desired", "reported", "delta", "version", "clientToken", "x"]), inner
        )
    ),
    max_leaves=12,
)


def ruled(verb: Verb, body: Any, standing: Standing, now: int = NOW, name: str = "", limit: int = 8_192) -> Ruling:
    payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return rule(Address("pump", name, verb), payload, standing, limit, now)


def updated(standing: Standing, state: Any, **more: Any) -> Standing:
    ruling = ruled(Verb.UPDATE, {"state": state, **more}, standing)
    assert ruling.standing is not None, ruling.answer
    return ruling.standing


def told(ruling: Ruling) -> list[tuple[str, Any]]:
    documents = [] if ruling.documents is None else [("documents", ruling.documents())]
    return [(word, json.loads(payload)) for word, payload in [*ruling.told, *documents]]


def refusal(ruling: Ruling) -> tuple[int, str]:
    assert ruling.standing is None
    assert ruling.change is None
    [(word, body)] = told(ruling)
    assert (word, body["code"], json.loads(ruling.answer.payload)) == ("rejected", ruling.answer.code, body)
    assert body["timestamp"] == NOW // 1_000
    return body["code"], body["message"]


def test_what_waits_to_be_told_holds_nothing_that_was_decoded() -> None:
    standing = updated(Standing(), {"desired": {"a": {"b": 1}}})
    documents = ruled(Verb.UPDATE, {"state": {"reported": {"a": 2}}}, standing).documents
    assert isinstance(documents, partial)
    before, after, *rest = documents.args
    assert {type(each) for each in (*before, *after)} == {bytes}
    assert rest == [(1, 2), b',"timestamp":%d}' % (NOW // 1_000)]


def test_an_update_is_told_in_order_and_a_delta_only_where_something_differs() -> None:
    ruling = ruled(Verb.UPDATE, {"state": {"desired": {"a": 1}}, "clientToken": "t"}, Standing())
    assert [word for word, _ in told(ruling)] == ["accepted", "delta", "documents"]
    assert all(body["clientToken"] == "t" and body["timestamp"] == NOW // 1_000 for _, body in told(ruling))
    assert ruling.standing is not None
    same = ruled(Verb.UPDATE, {"state": {"reported": {"a": 1}}}, ruling.standing)
    assert [word for word, _ in told(same)] == ["accepted", "documents"]
    still = ruled(Verb.UPDATE, {"state": {"reported": {"b": 1}}}, ruling.standing)
    assert told(still)[1] == (
        "delta",
        {"state": {"a": 1}, "metadata": {"a": {"timestamp": NOW // 1_000}}, "version": 2, "timestamp": NOW // 1_000},
    )


def test_versions_count_from_one_and_grow_when_nothing_changes() -> None:
    standing = updated(Standing(), {"desired": {"a": 1}})
    assert standing.version == 1
    assert updated(updated(standing, {"desired": {"a": 1}}), {}).version == 3


def test_an_update_that_is_meant_for_another_version_changes_nothing() -> None:
    standing = updated(Standing(), {"desired": {"a": 1}}, version=1)
    assert refusal(ruled(Verb.UPDATE, {"state": {}, "version": 2}, standing)) == (409, "Version conflict")
    assert refusal(ruled(Verb.UPDATE, {"state": {}, "version": 0}, standing)) == (409, "Version conflict")
    assert updated(standing, {}, version=1).version == 2


def test_the_first_update_may_name_version_one_alone() -> None:
    assert refusal(ruled(Verb.UPDATE, {"state": {}, "version": 2}, Standing())) == (400, "Invalid version")
    assert updated(Standing(), {}, version=1).version == 1


def test_state_null_clears_and_does_not_delete() -> None:
    standing = updated(Standing(), {"desired": {"a": 1}, "reported": {"b": 1}})
    cleared = ruled(Verb.UPDATE, {"state": None}, standing)
    second = NOW // 1_000
    assert told(cleared)[0][1] == {
        "state": None,
        "metadata": {"timestamp": second},
        "version": 2,
        "timestamp": second,
    }
    assert cleared.standing is not None
    assert told(ruled(Verb.GET, None, cleared.standing)) == [
        ("accepted", {"state": {}, "metadata": {}, "version": 2, "timestamp": second})
    ]


def test_a_deletion_tells_the_version_before_and_the_next_document_counts_on() -> None:
    standing = updated(updated(Standing(), {"desired": {"a": 1}}), {})
    gone = ruled(Verb.DELETE, {"clientToken": "t"}, standing)
    assert told(gone) == [("accepted", {"version": 2, "timestamp": NOW // 1_000, "clientToken": "t"})]
    assert gone.standing is not None
    assert gone.standing.document is None
    anew = ruled(Verb.UPDATE, {"state": {"reported": {"b": 1}}}, gone.standing)
    assert told(anew)[0][1]["version"] == 4
    assert told(anew)[-1][1]["previous"] is None


def test_after_a_deletion_no_older_version_is_taken_for_the_newest() -> None:
    gone = ruled(Verb.DELETE, None, updated(Standing(), {})).standing
    assert gone is not None
    assert refusal(ruled(Verb.UPDATE, {"state": {}, "version": 1}, gone)) == (409, "Version conflict")
    assert updated(gone, {}, version=2).version == 3


@pytest.mark.parametrize("verb", [Verb.GET, Verb.DELETE])
def test_what_is_not_there_is_named(verb: Verb) -> None:
    assert refusal(ruled(verb, None, Standing())) == (404, "No shadow exists with name: 'pump'")
    assert refusal(ruled(verb, None, Standing(7), name="a")) == (404, "No shadow exists with name: 'pump~a'")


def test_the_sections_together_have_a_size() -> None:
    sections = {"desired": {"a": "x" * 10}, "reported": {"b": "ü" * 10}}
    size = len(json.dumps(sections["desired"], separators=(",", ":"))) + len('{"b":""}') + 20
    standing = ruled(Verb.UPDATE, {"state": sections}, Standing(), limit=size).standing
    assert standing is not None
    told_too_large = (413, "The payload exceeds the maximum size allowed")
    assert refusal(ruled(Verb.UPDATE, {"state": sections}, Standing(), limit=size - 1)) == told_too_large
    # What is removed makes room in the same update, and metadata counts for nothing.
    smaller = {"desired": {"a": None, "c": "x" * 10}}
    assert ruled(Verb.UPDATE, {"state": smaller}, standing, limit=size).standing is not None
    assert refusal(ruled(Verb.UPDATE, {"state": {"desired": {"c": 1}}}, standing, limit=size)) == told_too_large


def test_moments_do_not_go_back_with_the_clock() -> None:
    standing = updated(Standing(), {"desired": {"a": 1}})
    later = ruled(Verb.UPDATE, {"state": {"desired": {"b": 1}}}, standing, now=NOW - 50_000)
    assert later.change is not None
    assert later.change.at == NOW
    assert told(later)[0][1]["timestamp"] == NOW // 1_000


@given(JSON | DOCUMENTS.map(lambda one: {"state": {"desired": one}}))
def test_no_json_is_a_defect_or_changes_anything_when_it_is_refused(body: Any) -> None:
    for standing in (Standing(), updated(Standing(), {"desired": {"a": 1}})):
        for verb in Verb:
            ruling = ruled(verb, body, standing)
            json.loads(ruling.answer.payload)
            assert ruling.answer.code in (200, 400, 404, 409, 413, 415)
            assert (ruling.answer.code == 200) or (ruling.standing is None and ruling.change is None)
            if ruling.standing is not None:
                assert ruling.standing.version == standing.version + 1


@given(st.binary(max_size=60) | st.binary(max_size=20).map(lambda raw: b'{"state":' + raw + b"}"))
def test_no_bytes_are_a_defect(payload: bytes) -> None:
    for verb in Verb:
        assert ruled(verb, payload, updated(Standing(), {})).answer.code in (200, 400, 409, 413, 415)
