"""What the job of a command says."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.as_jobs.document import DOCUMENT_BYTES, document_of, job_of
from appliance.commands.jobs.topics import is_job_id
from appliance.commands.model import CBOR, DialectName, InvalidCommandError
from appliance.instant import MINUTE_MS, to_text
from tests.appliance.commands.examples import EXECUTION, NOW, command

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@given(payload=JSONS)
def test_json_travels_as_it_is(payload: object) -> None:
    told = json.loads(document_of(command(payload=json.dumps(payload).encode(), expires_at=NOW)))
    assert told == {"operation": "blink", "execution_id": EXECUTION, "parameters": payload, "expires_at": to_text(NOW)}


@given(payload=st.binary(max_size=64))
def test_bytes_travel_in_base64(payload: bytes) -> None:
    told = json.loads(document_of(command(payload=payload, content_type=CBOR)))
    assert (base64.b64decode(told["payload_base64"]), told["content_type"]) == (payload, CBOR)
    assert "parameters" not in told


def test_every_attempt_is_a_job_of_its_own_that_may_be_called_so() -> None:
    ids = [job_of(command(attempt=attempt, dialect=DialectName.JOBS)).job_id for attempt in (1, 2, 21)]
    assert ids == [EXECUTION, f"{EXECUTION}-2", f"{EXECUTION}-21"]
    assert all(is_job_id(one) for one in ids)


@pytest.mark.parametrize(
    ("timeout_ms", "minutes"), [(1_000, 1), (MINUTE_MS, 1), (MINUTE_MS + 1, 2), (10_081 * MINUTE_MS, None)]
)
def test_the_device_is_told_no_shorter_time_than_it_has(timeout_ms: int, minutes: int | None) -> None:
    terms = job_of(command(finish_timeout_ms=timeout_ms)).terms
    assert terms.in_progress_minutes == minutes
    assert terms.retries.failed == terms.retries.timed_out == terms.retries.either == 0


def test_what_no_job_can_carry_is_refused() -> None:
    room = DOCUMENT_BYTES - len(document_of(command(payload=b'""')))
    assert len(document_of(command(payload=b'"' + b"a" * room + b'"'))) == DOCUMENT_BYTES
    with pytest.raises(InvalidCommandError, match="32,768"):
        document_of(command(payload=b'"' + b"a" * (room + 1) + b'"'))
