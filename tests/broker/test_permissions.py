"""What the authoriser says: at once, after a while, never, or nothing that makes sense."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.limits import Limits
from broker.permissions import DECISIONS_LIMIT, Permissions, Undecided
from broker.ports import ALLOWED, Allowed, Authorizer, Credentials, Denied, Pending, Principal
from broker.session import Session
from tests.broker.parts import Answer, Thinker, Timers, session

LIMITS = Limits(decision_timeout_s=5.0, decision_memory_s=30.0)
CREDENTIALS = Credentials("sensor", None, None, None, "127.0.0.1")
PRINCIPAL = Principal(1, "sensor")
DENIED = Denied("no")
Told = Callable[[], None]
Ask = Callable[[Permissions, Session, str, Told], Denied | None]
ASKS: list[Ask] = [Permissions.may_publish, Permissions.may_subscribe, Permissions.may_receive]


class Constant:
    """An authoriser that says the same to everything, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked_count = 0

    def authenticate(self, credentials: Credentials) -> Any:
        return self._answer()

    def may_publish(self, principal: Principal, topic: str) -> Any:
        return self._answer()

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Any:
        return self._answer()

    def may_receive(self, principal: Principal, topic: str) -> Any:
        return self._answer()

    def _answer(self) -> Any:
        self.asked_count += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def nobody() -> None:
    pytest.fail("nobody was to be told")


def not_later(answer: Principal | Denied) -> None:
    pytest.fail(f"{answer} was to be given at once")


def permissions_of(authorizer: Authorizer, timers: Timers | None = None) -> Permissions:
    timers = timers or Timers()
    return Permissions(authorizer, LIMITS, timers.time, timers.later)


def thinking() -> tuple[Permissions, Thinker, Timers]:
    thinker, timers = Thinker(), Timers()
    return permissions_of(thinker, timers), thinker, timers


def is_undecided(permissions: Permissions, about: Session, topic: str, told: Told) -> bool:
    try:
        permissions.may_receive(about, topic, told)
    except Undecided:
        return True
    return False


def raising(hear: Callable[[Answer], None]) -> None:
    raise OSError("gone")


class AnswersThatTakeTime(RuleBasedStateMachine):
    """Everybody who waits is told once, in order; what was said counts for its time and its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.permissions, self.thinker, self.timers = thinking()
        self.sessions = [session(name) for name in "ab"]
        self.told: list[int] = []
        self.waiting: dict[tuple[str, str], list[int]] = {}
        self.asked_at: dict[tuple[str, str], tuple[float, int]] = {}
        self.known: dict[tuple[str, str], tuple[Answer, float, int]] = {}
        self.number = 0

    @rule(place=st.integers(0, 1), topic=st.sampled_from("xy"))
    def ask(self, place: int, topic: str) -> None:
        about = self.sessions[place]
        key = (about.client_id, topic)
        self.number += 1
        number = self.number
        answer, until, version = self.known.get(key, (ALLOWED, 0.0, 0))
        is_known = version == self.permissions.version and self.timers.now < until
        try:
            denied = self.permissions.may_receive(about, topic, lambda: self.told.append(number))
        except Undecided:
            assert not is_known
            self.waiting.setdefault(key, []).append(number)
            self.asked_at.setdefault(key, (self.timers.now, self.permissions.version))
        else:
            assert is_known
            assert denied == (answer if isinstance(answer, Denied) else None)

    @rule(name=st.sampled_from("ab"), topic=st.sampled_from("xy"), answer=st.sampled_from([ALLOWED, DENIED]))
    def answer(self, name: str, topic: str, answer: Answer) -> None:
        hears = [hear for (who, _, about), hear in self.thinker.thoughts if (who, about) == (name, topic)]
        self.thinker.say(answer, name, topic)
        self.heard((name, topic), answer)
        for hear in hears:
            hear(DENIED)
            hear(ALLOWED)
        assert self.told == [], "answers that come twice are not heard"

    @rule(seconds=st.sampled_from([1.0, 4.0, 29.0]))
    def pass_by(self, seconds: float) -> None:
        late = [key for key, (asked_at, _) in self.asked_at.items() if asked_at + 5.0 <= self.timers.now + seconds]
        self.timers.pass_by(seconds)
        for key in late:
            self.heard(key, Denied("the authoriser did not answer within 5 s"))

    @rule()
    def change_the_policy(self) -> None:
        self.permissions.changed()

    def heard(self, key: tuple[str, str], answer: Answer) -> None:
        waiting = self.waiting.pop(key, [])
        told, self.told = self.told[: len(waiting)], self.told[len(waiting) :]
        assert told == waiting, "everybody who waited is told, in order"
        if waiting:
            _, version = self.asked_at.pop(key)
            self.known[key] = (answer, self.timers.now + 30.0, version)

    @invariant()
    def nobody_else_is_told_and_nothing_is_left_over(self) -> None:
        assert self.told == []
        assert len(self.permissions._waiting) == len(self.waiting) == self.timers.waiting_count

    def teardown(self) -> None:
        self.pass_by(29.0)
        self.nobody_else_is_told_and_nothing_is_left_over()
        assert not self.permissions._waiting


TestAnswers = AnswersThatTakeTime.TestCase
TestAnswers.settings = settings(max_examples=60, stateful_step_count=30)


@pytest.mark.parametrize("ask", ASKS)
def test_an_answer_given_at_once_counts_once(ask: Ask) -> None:
    constant, about = Constant(ALLOWED), session()
    permissions = permissions_of(constant)
    assert ask(permissions, about, "t", nobody) is None
    assert judged(permissions) == [None]
    assert permissions.publish_denial(PRINCIPAL, "t") is None
    assert permissions.subscribe_denial(PRINCIPAL, "t") is None
    constant.answer = DENIED
    assert ask(permissions, about, "t", nobody) is DENIED
    assert judged(permissions) == [DENIED]
    assert permissions.publish_denial(PRINCIPAL, "t") == permissions.subscribe_denial(PRINCIPAL, "t") == DENIED
    assert about.decisions is None


@pytest.mark.parametrize("answer", [None, True, "yes", PRINCIPAL, OSError("gone"), Pending(raising)])
@pytest.mark.parametrize("ask", ASKS)
def test_what_is_no_answer_is_a_denial(ask: Ask, answer: object) -> None:
    permissions, about = permissions_of(Constant(answer)), session()
    denied = ask(permissions, about, "t", nobody)
    assert isinstance(denied, Denied)
    [of_publisher] = judged(permissions)
    assert isinstance(of_publisher, Denied)
    for today in (permissions.publish_denial(PRINCIPAL, "t"), permissions.subscribe_denial(PRINCIPAL, "t")):
        assert (today is None) == isinstance(answer, Pending)
    assert not permissions._waiting


@pytest.mark.parametrize("answer", [None, ALLOWED, "sensor", OSError("gone"), Pending(raising)])
def test_nobody_is_let_in_without_an_answer_that_makes_sense(answer: object) -> None:
    assert isinstance(permissions_of(Constant(answer)).authenticate(CREDENTIALS, not_later), Denied)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("answer", [ALLOWED, Allowed(), DENIED, PRINCIPAL])
def test_an_answer_that_comes_while_it_is_asked_for_is_one_at_once(ask: Ask, answer: Answer) -> None:
    timers, constant, about = Timers(), Constant(Pending(lambda hear: hear(answer))), session()
    permissions = permissions_of(constant, timers)
    denied = ask(permissions, about, "t", nobody)
    assert isinstance(denied, Denied) == (not isinstance(answer, Allowed))
    assert ask(permissions, about, "t", nobody) == denied
    assert constant.asked_count == 1, "it is remembered like any other that took time"
    assert (timers.waiting_count, permissions._waiting) == (0, {})


@pytest.mark.parametrize("answer", [PRINCIPAL, DENIED])
def test_who_it_is_may_come_at_once_or_later_or_in_between(answer: Principal | Denied) -> None:
    assert permissions_of(Constant(answer)).authenticate(CREDENTIALS, not_later) is answer
    between = Constant(Pending(lambda hear: hear(answer)))
    assert permissions_of(between).authenticate(CREDENTIALS, not_later) is answer
    permissions, thinker, timers = thinking()
    heard: list[Principal | Denied] = []
    assert permissions.authenticate(CREDENTIALS, heard.append) is None
    thinker.say(answer)
    timers.pass_by(100.0)
    assert heard == [answer]


def test_whoever_is_allowed_in_without_a_name_is_nobody() -> None:
    permissions, thinker, _ = thinking()
    heard: list[Principal | Denied] = []
    permissions.authenticate(CREDENTIALS, heard.append)
    thinker.say(ALLOWED)
    assert heard == [Denied("the authoriser did not say who it is")]


def test_who_takes_too_long_to_be_recognised_is_not_let_in() -> None:
    permissions, thinker, timers = thinking()
    heard: list[Principal | Denied] = []
    permissions.authenticate(CREDENTIALS, heard.append)
    timers.pass_by(4.9)
    assert heard == []
    timers.pass_by(0.2)
    thinker.say(PRINCIPAL)
    assert heard == [Denied("the authoriser did not answer within 5 s")]


def test_what_is_not_decided_yet_takes_nothing_away_that_was_granted() -> None:
    permissions, thinker, timers = thinking()
    assert permissions.publish_denial(PRINCIPAL, "t") is None
    assert permissions.subscribe_denial(PRINCIPAL, "t") is None
    assert (len(thinker.thoughts), timers.waiting_count) == (0, 0), "nobody waits for what would be said"


def test_where_nobody_could_be_asked_nothing_is_taken_away_but_nothing_is_granted() -> None:
    turned_away = Denied("too many questions", is_judgement=False)
    permissions = permissions_of(Constant(turned_away))
    assert permissions.publish_denial(PRINCIPAL, "t") is None
    assert permissions.subscribe_denial(PRINCIPAL, "t") is None
    assert permissions.may_publish(session(), "t", nobody) == turned_away
    assert judged(permissions) == [turned_away]


@pytest.mark.parametrize(("answer", "expected"), [(ALLOWED, None), (DENIED, DENIED)])
def test_who_publishes_what_was_kept_is_judged_when_the_answer_comes(answer: Answer, expected: Denied | None) -> None:
    permissions, thinker, timers = thinking()
    told = judged(permissions)
    assert told == []
    thinker.say(answer)
    assert (told, timers.waiting_count) == ([expected], 0)


def test_thinking_too_long_about_what_was_kept_and_having_no_room_to_wait_are_denials() -> None:
    permissions, thinker, timers = thinking()
    told = judged(permissions)
    timers.pass_by(1_000.0)
    thinker.say(ALLOWED)
    [late] = told
    permissions.judge_publisher(PRINCIPAL, "t", told.append, may_wait=False)
    assert isinstance(late, Denied)
    assert isinstance(told[1], Denied)


@pytest.mark.parametrize("change", [Permissions.changed, Permissions.doubted])
def test_an_answer_about_what_was_kept_from_before_a_change_gives_no_right_that_is_denied_by_now(
    change: Callable[[Permissions], None],
) -> None:
    permissions, thinker, _ = thinking()
    told = judged(permissions)
    thinker.answers[PRINCIPAL.name, "publish", "t"] = DENIED
    change(permissions)
    thinker.say(ALLOWED)
    assert told == [DENIED]


def judged(permissions: Permissions) -> list[Denied | None]:
    """What is told of the publisher of what was kept; it is filled when the answer comes."""
    told: list[Denied | None] = []
    permissions.judge_publisher(PRINCIPAL, "t", told.append)
    return told


def test_whoever_asks_again_before_the_answer_is_told_once() -> None:
    permissions, thinker, _ = thinking()
    about, told = session(), [0]

    def tell() -> None:
        told[0] += 1

    assert all(is_undecided(permissions, about, "t", tell) for _ in range(3))
    assert len(thinker.thoughts) == 1
    thinker.say(ALLOWED)
    assert told == [1]


def test_an_answer_about_an_older_policy_is_asked_for_again() -> None:
    permissions, thinker, _ = thinking()
    about = session()
    assert is_undecided(permissions, about, "t", lambda: None)
    permissions.changed()
    thinker.say(ALLOWED)
    assert is_undecided(permissions, about, "t", lambda: None)
    thinker.say(DENIED)
    assert permissions.may_receive(about, "t", nobody) is DENIED


@given(st.integers(0, 2))
def test_the_three_questions_have_an_answer_each(place: int) -> None:
    permissions, thinker, _ = thinking()
    about = session()
    with pytest.raises(Undecided):
        ASKS[place](permissions, about, "t", lambda: None)
    thinker.say(ALLOWED)
    for other, ask in enumerate(ASKS):
        if other == place:
            assert ask(permissions, about, "t", nobody) is None
        else:
            with pytest.raises(Undecided):
                ask(permissions, about, "t", lambda: None)


def test_what_is_remembered_for_one_session_is_bounded() -> None:
    permissions, thinker, _ = thinking()
    about = session()
    for number in range(DECISIONS_LIMIT + 1):
        assert is_undecided(permissions, about, str(number), lambda: None)
        thinker.say(ALLOWED)
        assert permissions.may_receive(about, str(number), nobody) is None
        assert about.decisions is not None
        assert len(about.decisions) <= DECISIONS_LIMIT


@pytest.mark.parametrize("answer", [DENIED, None, "yes", OSError("gone")])
def test_a_message_is_retained_only_where_that_is_allowed(answer: object) -> None:
    class Keeper(Constant):
        def may_retain(self, principal: Principal, topic: str) -> Any:
            if isinstance(self.answer, Exception):
                raise self.answer
            return self.answer

    assert isinstance(permissions_of(Keeper(answer)).may_retain(PRINCIPAL, "t"), Denied)
    assert permissions_of(Keeper(ALLOWED)).may_retain(PRINCIPAL, "t") is None
    assert permissions_of(Constant(answer)).may_retain(PRINCIPAL, "t") is None, "it has no say in it"
