"""Requests are signed as the description of Signature Version 4 for S3 says; its own examples are the proof."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.cold.bucket.signing import (
    EMPTY_SHA256,
    Credentials,
    Unsigned,
    encoded_path,
    encoded_query,
    signed,
)

# The keys, the moment and the bucket of the examples in the description; they open nothing.
EXAMPLE = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
MOMENT = 1_369_353_600_000
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("request_", "signature"),
    [
        (
            Unsigned("GET", HOST, "/test.txt", {}, {"range": "bytes=0-9"}, EMPTY_SHA256),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            Unsigned(
                "PUT",
                HOST,
                "/test$file.text",
                {},
                {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
                "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            Unsigned("GET", HOST, "/", {"lifecycle": ""}, {}, EMPTY_SHA256),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            Unsigned("GET", HOST, "/", {"prefix": "J", "max-keys": "2"}, {}, EMPTY_SHA256),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["get-object", "put-object", "get-lifecycle", "list-objects"],
)
def test_the_examples_of_the_description_are_signed_as_they_stand_there(request_: Unsigned, signature: str) -> None:
    headers = signed(request_, EXAMPLE, "us-east-1", MOMENT)
    assert headers["x-amz-date"] == "20130524T000000Z"
    assert headers["authorization"].endswith(f", Signature={signature}")
    assert "Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, " in headers["authorization"]


def test_a_session_token_is_sent_and_signed() -> None:
    headers = signed(
        Unsigned("GET", HOST, "/", {}, {}, EMPTY_SHA256), Credentials("a", "b", "session"), "us-east-1", MOMENT
    )
    assert headers["x-amz-security-token"] == "session"
    assert "x-amz-date;x-amz-security-token," in headers["authorization"]


def test_a_secret_is_not_shown() -> None:
    assert "wJalr" not in f"{EXAMPLE!r} {EXAMPLE}"


@given(st.text(max_size=20))
def test_whatever_is_encoded_is_plain(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    for written in (encoded_path(text), encoded_query({text: text}).replace("=", "")):
        assert written.isascii()
        assert not set(written) & set(' +?#&"<>')


def test_a_path_keeps_its_slashes_and_a_query_does_not() -> None:
    assert encoded_path("/a b/day=1~.x") == "/a%20b/day%3D1~.x"
    assert encoded_query({"b": "/", "a": ""}) == "a=&b=%2F"
