import json

import pytest

from appliance.shadows.model import Address, Verb
from appliance.shadows.request import RefusedError, Request, read

UPDATE = Address("pump", "", Verb.UPDATE)


def refused(payload: bytes | dict[str, object], address: Address = UPDATE) -> tuple[int, str, str | None]:
    with pytest.raises(RefusedError) as caught:
        read(address, payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return caught.value.code, str(caught.value), caught.value.token


def nested(levels: int) -> object:
    """An object of this many levels."""
    return {} if levels == 1 else {"a": nested(levels - 1)}


def test_an_update_is_read_with_its_token_and_version() -> None:
    payload = b'{"state":{"desired":{"a":null},"reported":null},"clientToken":"t","version":7,"else":1}'
    assert read(UPDATE, payload) == Request("t", {"desired": {"a": None}, "reported": None}, 7)


def test_the_whole_state_may_be_null() -> None:
    assert read(UPDATE, b'{"state":null}') == Request(None, None, None)
    assert read(UPDATE, b'{"state":{},"version":null,"clientToken":null}') == Request(None, {}, None)


@pytest.mark.parametrize(
    ("payload", "code", "message"),
    [
        (b"", 400, "Invalid JSON"),
        (b"{", 400, "Invalid JSON"),
        (b"[]", 400, "Invalid JSON"),
        (b"7", 400, "Invalid JSON"),
        (b'{"state":{"desired":{"a":NaN}}}', 400, "Invalid JSON"),
        (b'{"state":{"desired":{"a":1e999}}}', 400, "Invalid JSON"),
        (b'{"state":{"desired":{"a":"\\ud800"}}}', 400, "Invalid JSON"),
        (b'{"state":{"desired":{"a":[1,null]}}}', 400, "Invalid JSON: null cannot stand in an array"),
        (b'{"state":{"desired":{"a":[{"b":null}]}}}', 400, "Invalid JSON: null cannot stand in an array"),
        (b"{}", 400, "Missing required node: state"),
        (b'{"state":[]}', 400, "State node must be an object"),
        (b'{"state":{"desired":1}}', 400, "Desired node must be an object"),
        (b'{"state":{"reported":[]}}', 400, "Reported node must be an object"),
        (b'{"state":{"wanted":{}}}', 400, "State contains an invalid node: 'wanted'"),
        (b'{"state":{},"version":"1"}', 400, "Invalid version"),
        (b'{"state":{},"version":1.5}', 400, "Invalid version"),
        (b'{"state":{},"version":true}', 400, "Invalid version"),
        (b'{"state":{},"version":-1}', 400, "Invalid version"),
        (b'{"state":{},"clientToken":7}', 400, "Invalid clientToken"),
        ('{"state":{},"clientToken":"' + "ü" * 33 + '"}', 400, "Invalid clientToken"),
        (
            '{"state":{"desired":{"a":"ü"}}}'.encode("latin-1"),
            415,
            "Unsupported documented encoding; supported encoding is UTF-8",
        ),
        ('{"state":{}}'.encode("utf-16"), 415, "Unsupported documented encoding; supported encoding is UTF-8"),
        (b" " * 131_073, 413, "The payload exceeds the maximum size allowed"),
        (b'{"state":' + b"[" * 100_000, 400, "JSON contains too many levels of nesting; maximum is 6"),
    ],
)
def test_what_is_wrong_with_an_update_is_told_in_the_words_of_aws(
    payload: bytes | str, code: int, message: str
) -> None:
    raw = payload if isinstance(payload, bytes) else payload.encode()
    assert refused(raw) == (code, message, None)


def test_a_refusal_echoes_the_token() -> None:
    assert refused(b'{"clientToken":"t"}') == (400, "Missing required node: state", "t")
    assert read(UPDATE, ('{"state":{},"clientToken":"' + "ü" * 32 + '"}').encode()).token == "ü" * 32


def test_sections_have_up_to_eight_levels() -> None:
    assert read(UPDATE, json.dumps({"state": {"desired": nested(8)}}).encode()).patch
    told = (400, "JSON contains too many levels of nesting; maximum is 6", None)
    assert refused({"state": {"desired": nested(9)}}) == told
    assert refused({"state": {"reported": {"a": [[[[[[[[1]]]]]]]]}}}) == told


def test_a_delta_is_dropped_silently() -> None:
    assert read(UPDATE, b'{"state":{"delta":{"a":1},"reported":{"a":1}}}').patch == {"reported": {"a": 1}}


@pytest.mark.parametrize(
    "payload", [b"", b"no json", b"[1]", b"\xff", b"{" * 100_000, b" " * 200_000, b'{"version":"x"}']
)
@pytest.mark.parametrize("verb", [Verb.GET, Verb.DELETE])
def test_of_a_get_and_a_delete_only_the_token_counts(verb: Verb, payload: bytes) -> None:
    assert read(Address("pump", "", verb), payload) == Request()
    assert read(Address("pump", "", verb), b'{"clientToken":"t"}').token == "t"
    assert refused(b'{"clientToken":7}', Address("pump", "", verb))[:2] == (400, "Invalid clientToken")


def test_names_that_nothing_can_have_are_refused() -> None:
    assert refused(b"", Address("pump", "a b", Verb.GET))[0] == 400
    assert refused(b"", Address("pump", "a" * 65, Verb.GET))[0] == 400
    assert refused(b"", Address("pump ", "", Verb.GET))[0] == 400
    assert refused(b"", Address("p" * 129, "", Verb.GET))[0] == 400
    assert read(Address("p" * 128, "$a-Z:_9", Verb.GET), b"") == Request()


def test_the_last_of_two_equal_keys_counts() -> None:
    assert read(UPDATE, b'{"state":{"desired":{"a":1,"a":2}}}').patch == {"desired": {"a": 2}}


def test_large_whole_numbers_stay_whole() -> None:
    assert read(UPDATE, b'{"state":{"desired":{"a":123456789012345678901234567890}}}').patch == {
        "desired": {"a": 123456789012345678901234567890}
    }
