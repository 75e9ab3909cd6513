"""What the pure pieces of the broker are tried with: messages, sessions, and an authoriser that takes its time."""

from collections.abc import Callable

from broker.changes import Delivery
from broker.client import Client
from broker.deliveries import Budget
from broker.limits import Limits
from broker.message import Message
from broker.packets import NO_PROPERTIES, Properties
from broker.ports import ALLOWED, Allowed, Credentials, Decision, Denied, Pending, Principal
from broker.session import Session

TENANT = 1
CONNECTED: Client = object.__new__(Client)
"""Stands for any connection where it only matters that there is one."""


def message(
    topic: str = "t",
    payload: bytes = b"",
    *,
    principal: str = "p",
    client_id: str = "c",
    qos: int = 1,
    retain: bool = False,
    properties: Properties = NO_PROPERTIES,
    expires_at: int | None = None,
) -> Message:
    return Message(TENANT, principal, client_id, topic, payload, qos, retain, 0, properties, expires_at)


def delivery(number: int, payload: bytes = b"", *, qos: int = 1) -> Delivery:
    return delivery_of(message(payload=payload), number, qos=qos)


def delivery_of(sent: Message, number: int = 1, *, qos: int = 1) -> Delivery:
    return Delivery(number, sent, number, qos, retain=False, size_bytes=sent.size_bytes)


def session(
    client_id: str = "c",
    number: int = 1,
    *,
    limits: Limits | None = None,
    expiry_s: int = 0,
    is_connected: bool = False,
) -> Session:
    limits = limits or Limits()
    made = Session(number, Principal(TENANT, client_id), client_id, limits, Budget(limits.queues_bytes))
    made.expiry_s = expiry_s
    if is_connected:
        made.client = CONNECTED
        made.deliveries.connect(65_535)
    return made


class Timer:
    """One call that was put off."""

    def __init__(self, due_at: float, call: Callable[[], None]) -> None:
        self.due_at = due_at
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Timers:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def later(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = Timer(self.now + delay_s, call)
        self._timers.append(timer)
        return timer

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for timer in self._timers:
            if timer.call is not None and timer.due_at <= self.now:
                call, timer.call = timer.call, None
                call()

    @property
    def waiting_count(self) -> int:
        return sum(timer.call is not None for timer in self._timers)


Answer = Principal | Allowed | Denied


class Thinker:
    """An authoriser that answers what it was told to, and thinks about everything else."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, str], Decision] = {}
        """By principal, action and topic."""
        self.asked: list[tuple[str, str, str]] = []
        self.thoughts: list[tuple[tuple[str, str, str], Callable[[Answer], None]]] = []
        """What it still thinks about, in the order in which it was asked."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        return self._think((credentials.client_id, "connect", ""))

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        return self._decide(principal, "publish", topic)

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:
        return self._decide(principal, "subscribe", topic_filter)

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        return self._decide(principal, "receive", topic)

    def allow(self, principal: str, action: str, topic: str) -> None:
        self.answers[principal, action, topic] = ALLOWED

    def say(self, answer: Answer, name: str | None = None, topic: str | None = None) -> None:
        """Answer every question about this principal and this topic, or about all."""
        said = [think for think in self.thoughts if name in (None, think[0][0]) and topic in (None, think[0][2])]
        self.thoughts = [think for think in self.thoughts if think not in said]
        for _, hear in said:
            hear(answer)

    def _decide(self, principal: Principal, action: str, topic: str) -> Decision:
        question = (principal.name, action, topic)
        self.asked.append(question)
        return self.answers.get(question) or self._think(question)

    def _think(self, question: tuple[str, str, str]) -> Pending:
        return Pending(lambda hear: self.thoughts.append((question, hear)))
