from hypothesis import given
from hypothesis import strategies as st

from appliance.notifications.model import Notice
from appliance.notifications.turn import SENDING_LIMIT, UPCOMING_LIMIT, WAIT_LIMIT_MS, next_turn
from tests.appliance.notifications.examples import notice

NOW = 1_000

outboxes = st.lists(st.integers(NOW - 50, NOW + 50), max_size=UPCOMING_LIMIT).map(
    lambda dues: [notice(notice_id=number, due_at=due) for number, due in enumerate(sorted(dues))]
)


@given(outboxes, st.data())
def test_what_is_due_starts_while_there_is_a_place_and_nothing_starts_twice(
    notices: list[Notice], data: st.DataObject
) -> None:
    due = [each.notice_id for each in notices if each.due_at is not None and each.due_at <= NOW]
    sending = set(data.draw(st.lists(st.sampled_from(due), max_size=SENDING_LIMIT, unique=True))) if due else set()
    turn = next_turn(notices, sending, NOW)
    started = [each.notice_id for each in turn.start]
    waiting = [number for number in due if number not in sending]
    assert started == waiting[: SENDING_LIMIT - len(sending)]


@given(outboxes)
def test_it_wakes_for_the_next_one_unless_every_place_is_taken(notices: list[Notice]) -> None:
    turn = next_turn(notices, set(), NOW)
    later = [each.due_at - NOW for each in notices if each.due_at is not None and each.due_at > NOW]
    if len(turn.start) == SENDING_LIMIT or not later:
        assert turn.wait_ms is None
    else:
        assert turn.wait_ms == min(later) > 0


def test_an_empty_outbox_waits_for_something_to_happen() -> None:
    assert next_turn([], set(), NOW).wait_ms is None


def test_a_far_due_time_is_looked_at_again_before_because_the_clock_may_be_set() -> None:
    far: list[Notice] = [notice(due_at=NOW + 10**9)]
    assert next_turn(far, set(), NOW).wait_ms == WAIT_LIMIT_MS
