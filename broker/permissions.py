"""What the authoriser says, asked at the right moments and remembered as long as it counts.

Rules: failure denies; thinking too long denies; whoever waits for an answer waits in order. An answer
given at once is never remembered here, so a policy that changes counts at once.
"""

import logging
from collections.abc import Callable
from typing import Protocol

from broker.limits import Limits
from broker.ports import (
    ALLOWED,
    Allowed,
    Authorizer,
    Credentials,
    Decision,
    Denied,
    Pending,
    Principal,
    RetainAuthorizer,
)
from broker.session import Session

log = logging.getLogger(__name__)

DECISIONS_LIMIT = 1_000
"""Remembered for one session: its topics are its client's choice."""


class Cancellable(Protocol):
    """Something that was put off and can be called off."""

    def cancel(self) -> None:
        """Call it off."""


class Undecided(Exception):  # noqa: N818  not an error: the answer comes later
    """The authoriser is thinking; whoever asked is told when it has thought."""


class Permissions:
    """Asks the authoriser on behalf of sessions."""

    def __init__(
        self,
        authorizer: Authorizer,
        limits: Limits,
        time: Callable[[], float],
        later: Callable[[float, Callable[[], None]], Cancellable],
    ) -> None:
        """`time` gives monotonic seconds; `later(delay_s, call)` calls back."""
        self.version = 0
        """Grows when answers given before may be wrong now."""
        self.identity_version = 0
        """Grows when somebody who was said to be let in may not be let in now."""
        self._authorizer = authorizer
        self._retain_authorizer = authorizer if isinstance(authorizer, RetainAuthorizer) else None
        self._limits = limits
        self._time = time
        self._later = later
        self._waiting: dict[tuple[Session, str, str], dict[Callable[[], None], None]] = {}
        """Who is told of the answer to a question: once each, in order."""

    def authenticate(
        self, credentials: Credentials, answer: Callable[[Principal | Denied], None]
    ) -> Principal | Denied | None:
        """Who this is; None when `answer` will be called with it."""
        try:
            decision = self._authorizer.authenticate(credentials)
        except Exception:  # whatever an authoriser raises must let nobody in
            log.exception("authentication failed client_id=%s", credentials.client_id)
            return Denied("the gateway could not authenticate it")
        if not isinstance(decision, Pending):
            return _identity(decision)
        early: list[Principal | Denied] = []
        is_over = False

        def hear(result: Principal | Allowed | Denied) -> None:
            if is_over:
                answer(_identity(result))
            else:
                early.append(_identity(result))

        self._ask_later(decision, hear)
        is_over = True
        # Whoever answers at once after all is not waited for.
        return early[0] if early else None

    def may_publish(self, session: Session, topic: str, told: Callable[[], None]) -> Denied | None:
        """None when the session's client may publish there. Raises `Undecided`, and then calls `told`."""
        return self._decide(session, "publish", topic, self._authorizer.may_publish, told)

    def may_subscribe(self, session: Session, topic_filter: str, told: Callable[[], None]) -> Denied | None:
        """None when the session's client may subscribe to it. Raises `Undecided`, and then calls `told`."""
        return self._decide(session, "subscribe", topic_filter, self._authorizer.may_subscribe, told)

    def may_receive(self, session: Session, topic: str, told: Callable[[], None]) -> Denied | None:
        """None when the session's client may be sent this topic. Raises `Undecided`, and then calls `told`."""
        return self._decide(session, "receive", topic, self._authorizer.may_receive, told)

    def judge_publisher(
        self, principal: Principal, topic: str, told: Callable[[Denied | None], None], *, may_wait: bool = True
    ) -> None:
        """Tell why the publisher of a message that was kept may not publish it today, or None; now or later.

        Where there is no room to wait, an answer that takes time is a denial.
        """
        self._judge(self._authorizer.may_publish, principal, topic, told, may_wait=may_wait)

    def judge_subscriber(self, principal: Principal, topic_filter: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody who has no session may not subscribe to this, or None; now or later."""
        self._judge(self._authorizer.may_subscribe, principal, topic_filter, told)

    def judge_receiver(self, principal: Principal, topic: str, told: Callable[[Denied | None], None]) -> None:
        """Tell why somebody who has no session may not be sent this topic, or None; now or later."""
        self._judge(self._authorizer.may_receive, principal, topic, told)

    def publish_denial(self, principal: Principal, topic: str) -> Denied | None:
        """Why a message that is kept may not be published today; None when it may, or that takes time to say."""
        return _denial_today(self._asked(self._authorizer.may_publish, principal, topic))

    def may_retain(self, principal: Principal, topic: str) -> Denied | None:
        """None when a message that may be published there may be retained, too."""
        if self._retain_authorizer is None:
            return None
        try:
            decision = self._retain_authorizer.may_retain(principal, topic)
        except Exception:  # whatever an authoriser raises is a denial
            log.exception("authorisation failed principal=%s", principal.name)
            return Denied("the gateway could not decide about it")
        return None if isinstance(decision, Allowed) else _denial(decision)

    def subscribe_denial(self, principal: Principal, topic_filter: str) -> Denied | None:
        """Why a subscription that was granted would not be today; None when it would, or that takes time to say."""
        return _denial_today(self._asked(self._authorizer.may_subscribe, principal, topic_filter))

    def changed(self) -> None:
        """Forget what was answered: the policy is another one now."""
        self.version += 1
        self.doubted()

    def doubted(self) -> None:
        """Note that whoever was said to be let in, and has not come in yet, is to be asked about again."""
        self.identity_version += 1

    def _judge(
        self,
        ask: Callable[[Principal, str], Decision],
        principal: Principal,
        wish: str,
        told: Callable[[Denied | None], None],
        *,
        may_wait: bool = True,
    ) -> None:
        decision = self._asked(ask, principal, wish)
        if isinstance(decision, Pending) and not may_wait:
            decision = Denied("too many messages wait for the authoriser")
        if not isinstance(decision, Pending):
            told(None if isinstance(decision, Allowed) else _denial(decision))
            return
        versions = (self.version, self.identity_version)

        def hear(result: object) -> None:
            if versions != (self.version, self.identity_version):
                # What is denied at once by now was allowed before that changed.
                now = self._asked(ask, principal, wish)
                result = result if isinstance(now, Pending) else now
            told(None if isinstance(result, Allowed) else _denial(result))

        self._ask_later(decision, hear)

    def _asked(self, ask: Callable[[Principal, str], Decision], principal: Principal, wish: str) -> Decision:
        try:
            return ask(principal, wish)
        except Exception:  # whatever an authoriser raises is a denial
            log.exception("authorisation failed principal=%s", principal.name)
            return Denied("the gateway could not decide about it")

    def _decide(
        self,
        session: Session,
        action: str,
        topic: str,
        ask: Callable[[Principal, str], Decision],
        told: Callable[[], None],
    ) -> Denied | None:
        decision = self._remembered(session, action, topic)
        if decision is None:
            try:
                decision = ask(session.principal, topic)
            except Exception:  # whatever an authoriser raises is a denial
                log.exception("authorisation failed client_id=%s action=%s", session.client_id, action)
                return Denied("the gateway could not decide about it")
        if decision is ALLOWED:
            return None
        if isinstance(decision, Pending):
            decision = self._wait(session, action, topic, decision, told)
        return None if isinstance(decision, Allowed) else _denial(decision)

    def _remembered(self, session: Session, action: str, topic: str) -> Decision | None:
        if session.decisions is None:
            return None
        decision, until, version = session.decisions.get((action, topic), (None, 0.0, 0))
        return decision if version == self.version and self._time() < until else None

    def _wait(self, session: Session, action: str, topic: str, pending: Pending, told: Callable[[], None]) -> Decision:
        key = (session, action, topic)
        waiting = self._waiting.get(key)
        if waiting is not None:
            waiting[told] = None
            raise Undecided
        self._waiting[key] = {told: None}
        is_over = False
        # The answer is about the policy that was asked, even if there is another one when it comes.
        version = self.version

        def remember(decision: Decision) -> None:
            if session.decisions is None or len(session.decisions) >= DECISIONS_LIMIT:
                session.decisions = {}
            until = self._time() + self._limits.decision_memory_s
            session.decisions[action, topic] = (decision, until, version)
            waiting = self._waiting.pop(key)
            if is_over:
                for tell in waiting:
                    tell()

        self._ask_later(pending, lambda result: remember(ALLOWED if isinstance(result, Allowed) else _denial(result)))
        is_over = True
        if key not in self._waiting:  # It was answered at once after all.
            assert session.decisions is not None  # noqa: S101  for the type checker
            return session.decisions[action, topic][0]
        raise Undecided

    def _ask_later(self, pending: Pending, answer: Callable[[Principal | Allowed | Denied], None]) -> None:
        """Hear the answer once, or that it took too long."""
        is_answered = False

        def hear(result: Principal | Allowed | Denied) -> None:
            nonlocal is_answered
            if is_answered:
                return
            is_answered = True
            timer.cancel()
            answer(result)

        limit_s = self._limits.decision_timeout_s
        timer = self._later(limit_s, lambda: hear(Denied(f"the authoriser did not answer within {limit_s:g} s")))
        try:
            pending.then(hear)
        except Exception:  # whatever an authoriser raises is a denial
            log.exception("an authoriser could not be waited for")
            hear(Denied("the gateway could not decide about it"))


def _identity(answer: object) -> Principal | Denied:
    """Who somebody is said to be; whoever says something else names nobody."""
    return answer if isinstance(answer, Principal | Denied) else Denied("the authoriser did not say who it is")


def _denial_today(decision: Decision) -> Denied | None:
    """Why what was granted would not be today; None where that takes time to say, or nobody could be asked."""
    if isinstance(decision, Allowed | Pending):
        return None
    denied = _denial(decision)
    return denied if denied.is_judgement else None


def _denial(answer: object) -> Denied:
    """Why not; whatever is neither an allowance nor a denial is one, too."""
    return answer if isinstance(answer, Denied) else Denied("the authoriser did not say whether it may")
