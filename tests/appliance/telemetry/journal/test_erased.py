"""What is erased goes by the log and by the moment of the question, device by device."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.journal import frames
from appliance.telemetry.journal.erased import NAMES_LIMIT, Erased, is_through
from appliance.telemetry.journal.model import RawMessage
from appliance.telemetry.keeping.model import Erasure
from appliance.telemetry.packing import inflate
from tests.appliance.telemetry.journal.examples import raw_messages
from tests.appliance.telemetry.reports import NOON

moments = st.integers(NOON - 1, NOON + 51)
log_ids = st.integers(0, 2**62)
erasures = st.builds(Erasure, st.just(1), st.integers(1, 2), st.sampled_from("ab"), log_ids, moments)


@given(raw_messages, st.lists(erasures, max_size=4), st.integers(0, 4))
def test_a_message_is_erased_when_any_question_reaches_it(
    message: RawMessage, asked: list[Erasure], first: int
) -> None:
    erased = Erased(asked[:first])
    erased.add(asked[first:])
    assert erased.has(message) == any(
        message.tenant_id == each.tenant_id
        and message.is_of([each.device_id])
        and (message.log_id <= each.through_log_id or message.arrived_at <= each.asked_at)
        for each in asked
    )


@given(raw_messages, st.dictionaries(st.tuples(st.integers(1, 2), st.sampled_from("ab")), log_ids, max_size=3))
def test_what_the_log_gives_no_more_is_not_shown(message: RawMessage, through_of: dict[tuple[int, str], int]) -> None:
    assert is_through(message, through_of) == any(
        message.tenant_id == tenant_id and message.is_of([device_id]) and message.log_id <= through
        for (tenant_id, device_id), through in through_of.items()
    )


@given(raw_messages, st.lists(erasures, max_size=4))
def test_bytes_without_the_name_of_a_device_hold_nothing_that_is_erased(
    message: RawMessage, asked: list[Erasure]
) -> None:
    erased = Erased(asked)
    content = inflate(frames.packed([message]).packed)
    assert erased.may_be_in(content) or not erased.has(message)
    assert not Erased().may_be_in(content)


def test_of_many_names_each_message_is_looked_at() -> None:
    assert Erased(Erasure(1, 1, f"d{number}", 1, 1) for number in range(NAMES_LIMIT + 1)).may_be_in(b"")
