"""Who is given a message: the rights of those who want it, shared subscriptions, and answers that take time."""

from collections import deque
from collections.abc import Callable, Sequence

from broker.limits import Limits
from broker.message import Message
from broker.packets import Subscription
from broker.permissions import Permissions, Undecided
from broker.ports import Denied
from broker.publication import Publication
from broker.router import Route, Router
from broker.session import Session
from broker.subscriptions import Group, Matches, Target, own_target

FEW = 16
"""So many subscriptions of one client are looked at one by one; more are looked for in the tree."""
NOBODY: Matches[Session] = Matches((), (), {})


class Routing:
    """Finds those who want a message and may have it."""

    def __init__(
        self, permissions: Permissions, limits: Limits, deliver: Callable[[Message, Target[Session]], None]
    ) -> None:
        """`deliver` takes messages that were held, once it is known that they may be received."""
        self._permissions = permissions
        self._limits = limits
        self._deliver = deliver

    def find(self, router: Router, topic: str) -> Route:
        """Find everyone who wants a topic and may receive it; remembered until something changes."""
        found = router.subscriptions.match(topic)
        targets = []
        is_decided = True
        for target in found.targets:
            session = target.subscriber
            denied = None
            if session.held is None:
                try:
                    denied = self._denied(session, topic)
                except Undecided:
                    # It gets this message, and those after it, when the answer is there.
                    session.held = deque()
            # Nobody is asked about what is held anyway: that is done when it is its turn.
            is_decided = is_decided and session.held is None and (denied is None or denied.is_judgement)
            if denied is None:
                targets.append(target)
        allowed = Matches(tuple(targets), found.groups, found.own)
        return router.remember(topic, allowed) if is_decided else Route(-1, allowed, router.subscriptions)

    def one(self, router: Router, message: Message, session: Session, *, is_due: bool) -> Matches[Session]:
        """One client, if it wants the topic or `is_due` it anyway, and may receive it.

        Nobody else is asked about, and nothing is remembered: what one client is told has, as a rule, a topic that
        comes once.
        """
        if len(session.subscriptions) <= FEW:
            target = own_target(session, session.subscriptions, message.topic)
            wanted = NOBODY if target is None else Matches((target,), (), {})
        else:
            wanted = router.subscriptions.match(message.topic).only(session)
        if not wanted.targets and is_due:
            wanted = Matches((Target(session, Subscription(message.topic, 1)),), (), {})
        denied = None
        if wanted.targets and session.held is None:
            try:
                denied = self._denied(session, message.topic)
            except Undecided:
                # It gets this message, and those after it, when the answer is there.
                session.held = deque()
        return wanted if denied is None else NOBODY

    def chosen(self, message: Message, wanted: Matches[Session]) -> Sequence[Target[Session]]:
        """The targets, without those who do not want their own messages, and one of each shared subscription."""
        chosen = []
        for target in wanted.targets:
            session = target.subscriber
            if session in wanted.own and session.client_id == message.client_id:
                own = wanted.own[session]
                if own is not None:
                    chosen.append(own)
            else:
                chosen.append(target)
        for group in wanted.groups:
            member = self._member(group, message)
            if member is not None:
                chosen.append(member)
        return chosen

    def admits(self, message: Message, target: Target[Session]) -> bool:
        """Whether a session may be given a message now; if that is not known yet, the message is held for it."""
        session = target.subscriber
        if session.held is None:
            try:
                return self._denied(session, message.topic) is None
            except Undecided:
                session.held = deque()
        self.hold(session, message, target)
        return False

    def hold(
        self, session: Session, message: Message, target: Target[Session], publication: Publication | None = None
    ) -> None:
        """Keep a message behind those about which the authoriser still thinks, or drop it if those are too many."""
        held, limits = session.held, self._limits
        size = message.size_bytes
        if held is None or len(held) >= limits.queue_messages or session.held_bytes + size > limits.queue_bytes:
            session.dropped_count += 1
            return
        session.held_bytes += size
        held.append((message, target, publication))
        if publication is not None:
            publication.was_held()

    def _denied(self, session: Session, topic: str) -> Denied | None:
        return self._permissions.may_receive(session, topic, lambda: self._release(session))

    def _release(self, session: Session) -> None:
        """Deliver what was held, in order, up to the next message about which nothing is known yet."""
        held, session.held = session.held, None
        session.held_bytes = 0
        while held:
            message, target, publication = held[0]
            if publication is not None and publication.is_withdrawn:
                held.popleft()
                continue
            try:
                denied = self._denied(session, message.topic)
            except Undecided:
                session.held = held
                session.held_bytes = sum([waiting.size_bytes for waiting, *_ in held])
                return
            held.popleft()
            if publication is not None:
                publication.came_up(message, target, is_allowed=denied is None)
            elif denied is None:
                self._deliver(message, target)

    def _member(self, group: Group[Session], message: Message) -> Target[Session] | None:
        """Whose turn it is of those who may receive it: connected and not behind first, then who keeps it for later."""
        chosen = undecided = None
        for target in group.in_turn():
            rank = _readiness(target.subscriber)
            if chosen is not None and rank <= _readiness(chosen.subscriber):
                continue
            try:
                denied = self._permissions.may_receive(target.subscriber, message.topic, _told_nobody)
            except Undecided:
                # Somebody else of the group can have it at once.
                undecided = undecided or target
                continue
            if denied is None:
                chosen = target
                if rank == _READY:
                    break
        served = chosen or undecided
        if served is not None:
            group.served(served.subscriber)
        if chosen is None and undecided is not None and self.admits(message, undecided):
            return undecided
        return chosen


_READY = 2


def _readiness(session: Session) -> int:
    """How good it is to give a session a message that others could have: 0 is not connected, 1 is behind."""
    if session.client is None:
        return 0
    return 1 if session.deliveries.has_queue or session.held is not None else _READY


def _told_nobody() -> None:
    """Nobody waits for the answer: the next message asks again."""
