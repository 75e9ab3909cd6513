import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.tray.model import Said
from tests.web.knocking.clients import EMPTY, post
from web.knocking.request import BODY_BYTES, HEAD_BYTES, Reading, Refusal

words = st.text(max_size=30)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("device_id", "type", "serial_number", "note"), words)),
    st.lists(st.integers(1, 40), max_size=20),
)
def test_however_it_is_cut_the_request_says_the_same(told: dict[str, str], cuts: list[int]) -> None:
    whole = post(told)
    reading, said, at = Reading(), None, 0
    for cut in [*cuts, len(whole)]:
        if at < len(whole):
            assert said is None
            said = reading.receive(whole[at : at + cut])
            at += cut
    assert said == Said(**told)


@given(st.binary(max_size=300))
def test_no_bytes_are_anything_but_refused(noise: bytes) -> None:
    with contextlib.suppress(Refusal):
        assert Reading().receive(noise) is None


def refusal(*pieces: bytes) -> Refusal:
    reading = Reading()
    *first, last = pieces
    assert [reading.receive(piece) for piece in first] == [None] * len(first)
    with pytest.raises(Refusal) as raised:
        reading.receive(last)
    return raised.value


def test_an_empty_body_says_nothing_of_itself() -> None:
    assert Reading().receive(EMPTY) == Said()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        (b"GET /enrol HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        (b"POST /enrol/ HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        (b"POST /v1/devices HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        (b"POST /enrol HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", 411),
        (b"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-length: 16385\r\n\r\n", 413),
        (b"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}", 415),
        (b"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-length: -2\r\n\r\n{}", 400),
        (b"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}", 400),
        (b"POST /enrol HTTP/1.1\r\n\r\n", 400),
        (b"\x16\x03\x01nonsense\r\n\r\n", 400),
        (b"POST /enrol HTTP/1.1\r\nx: " + b"y" * HEAD_BYTES, 431),
    ],
)
def test_everything_else_is_refused(sent: bytes, status: int) -> None:
    assert refusal(sent).status == status


def test_what_may_be_asked_is_said_with_405() -> None:
    assert refusal(b"PUT /enrol HTTP/1.1\r\nhost: a\r\n\r\n").headers == {"allow": "POST"}


@pytest.mark.parametrize(
    "told",
    [
        {"admin": True},
        {"device_id": 7},
        {"device_id": "x" * 129},
        {"type": "x" * 65},
        {"note": "x" * 257},
        {"serial_number": None},
        [],
        "pump-7",
    ],
)
def test_a_body_that_is_not_what_was_agreed_is_refused(told: object) -> None:
    assert refusal(post(told)).status == 400


def test_what_is_not_json_is_refused() -> None:
    for body in (b"{", b"\xff\xfe", b"[" * (BODY_BYTES - 1)):
        head = (
            f"POST /enrol HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        assert refusal(head.encode(), body).status == 400


def test_who_waits_for_a_word_gets_it() -> None:
    whole = post({"note": "hello"}, "expect: 100-continue")
    head, _, body = whole.partition(b"\r\n\r\n")
    reading = Reading()
    assert not reading.wants_word
    assert reading.receive(head + b"\r\n\r\n") is None
    assert reading.wants_word
    assert reading.allow_rest().startswith(b"HTTP/1.1 100 ")
    assert not reading.wants_word
    assert reading.receive(body) == Said(note=json.loads(body)["note"])
