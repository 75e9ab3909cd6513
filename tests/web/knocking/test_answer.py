from http import HTTPStatus

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.tray.model import KnownKeyError, RefusedKnockError
from appliance.errors import TooManyAttemptsError
from appliance.instant import MINUTE_MS
from tests.appliance.enrolment.requests import NOW
from tests.appliance.enrolment.tray.examples import knock
from tests.web.knocking.clients import read
from web.knocking import answer
from web.knocking.answer import Place
from web.knocking.request import Refusal


@given(st.text(max_size=300))
def test_whatever_is_said_stays_inside_its_answer(reason: str) -> None:
    came = read(answer.unfit(reason).encoded())
    assert (came.status, came.headers["connection"]) == (400, "close")
    assert came.told["reason"] == reason[:1].upper() + reason[1:] + "."


def test_who_waits_is_told_the_code_that_the_tray_shows_and_when_to_come_back() -> None:
    came = read(answer.pending(knock(), NOW + MINUTE_MS).encoded())
    assert (came.status, came.headers["retry-after"], came.told["state"]) == (202, "10", "pending")
    assert (came.told["code"], came.told["key_fingerprint"]) == ("ab" * 8, "ab" * 32)


def test_who_was_let_in_is_given_all_that_it_needs() -> None:
    accepted = msgspec.structs.replace(knock(), device_id="pump-7", certificate="leaf\n")
    came = read(answer.granted(accepted, Place("gateway.local", 8883, "issuing\n", "root\n")).encoded())
    assert (came.status, came.headers["cache-control"]) == (200, "no-store")
    assert came.told == {
        "state": "accepted",
        "device_id": "pump-7",
        "certificate": "leaf\nissuing\n",
        "root": "root\n",
        "host": "gateway.local",
        "port": 8883,
    }


def test_a_refusal_is_a_sentence_with_its_kind() -> None:
    for error in (RefusedKnockError("no"), KnownKeyError("no")):
        came = read(answer.refused(error).encoded())
        assert (came.status, came.told) == (403, {"state": "refused", "error": error.code, "reason": "No."})
    came = read(answer.refused(TooManyAttemptsError("wait")).encoded())
    assert (came.status, came.headers["retry-after"]) == (429, "60")


def test_a_request_that_is_not_understood_is_answered_with_its_own_status() -> None:
    came = read(answer.not_understood(Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "no", {"allow": "POST"})).encoded())
    assert (came.status, came.headers["allow"], came.told["error"]) == (405, "POST", "invalid_input")


def test_a_mistake_tells_nothing_of_its_cause() -> None:
    came = read(answer.mistaken().encoded())
    assert (came.status, came.told["error"]) == (500, "defect")
