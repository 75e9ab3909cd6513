import json
from typing import Any

from appliance.shadows import answers, document
from appliance.shadows.answers import ending

STAMP = {"timestamp": 9}
DOCUMENT = document.of(
    {"desired": {"a": 1, "b": {"c": 2}}, "reported": {"a": 1}},
    {"desired": {"a": STAMP, "b": {"c": STAMP}}, "reported": {"a": STAMP}},
)


def told(payload: bytes) -> Any:
    return json.loads(payload)


def test_a_get_tells_the_document_and_what_differs() -> None:
    assert told(answers.got(DOCUMENT, {"b": {"c": 2}}, 5, ending(10, "t"))) == {
        "state": {**DOCUMENT.state, "delta": {"b": {"c": 2}}},
        "metadata": DOCUMENT.metadata,
        "version": 5,
        "timestamp": 10,
        "clientToken": "t",
    }
    assert told(answers.got(document.of({}, {}), None, 2, ending(10, None))) == {
        "state": {},
        "metadata": {},
        "version": 2,
        "timestamp": 10,
    }


def test_an_update_tells_what_was_asked_for_with_its_moments() -> None:
    patch = {"reported": {"a": None, "b": [1, 2]}}
    times = {"reported": {"a": {"timestamp": 10}, "b": [{"timestamp": 10}, {"timestamp": 10}]}}
    assert told(answers.updated(json.dumps(patch).encode(), times, 5, ending(10, "t"))) == {
        "state": patch,
        "metadata": times,
        "version": 5,
        "timestamp": 10,
        "clientToken": "t",
    }
    assert told(answers.updated(b"null", {"timestamp": 10}, 5, ending(10, None))) == {
        "state": None,
        "metadata": {"timestamp": 10},
        "version": 5,
        "timestamp": 10,
    }


def test_a_delta_has_the_moments_of_what_is_desired() -> None:
    assert told(answers.differing(DOCUMENT, {"b": {"c": 2}}, 5, ending(10, None))) == {
        "state": {"b": {"c": 2}},
        "metadata": {"b": {"c": STAMP}},
        "version": 5,
        "timestamp": 10,
    }


def test_documents_tell_both_with_their_versions() -> None:
    both = told(answers.documents(DOCUMENT.texts, document.of({}, {}).texts, (4, 5), ending(10, 't"')))
    assert both["previous"] == {"state": DOCUMENT.state, "metadata": DOCUMENT.metadata, "version": 4}
    assert both["current"] == {"state": {}, "metadata": {}, "version": 5}
    assert (both["timestamp"], both["clientToken"]) == (10, 't"')
    assert told(answers.documents(None, DOCUMENT.texts, (0, 1), ending(10, None)))["previous"] is None


def test_deletions_and_refusals_are_short() -> None:
    assert told(answers.deleted(5, ending(10, "t"))) == {"version": 5, "timestamp": 10, "clientToken": "t"}
    assert told(answers.rejected(409, "Version conflict", ending(10, None))) == {
        "code": 409,
        "message": "Version conflict",
        "timestamp": 10,
    }
