"""Live sessions when what let them in, or what they may do, has changed: the authoriser is asked again.

Whoever may have lost access comes first: a revocation waits for no review of thousands, however long it takes.
Nobody is ended because nobody could be asked: such sessions are asked about again, a few at a time, until somebody was.
"""

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from broker.client import Client
from broker.exchange import Exchange
from broker.forgetting import forget
from broker.message import TenantId
from broker.ports import Denied, Principal
from broker.session import Session
from broker.subscribing import Desk

ENDED_AT_ONCE = 400
"""Sessions whose access is looked at before the loop gets its turn back."""
REVIEWED_AT_ONCE = 100
"""Sessions that are reviewed before it: each may have many subscriptions."""
ASKED_AT_ONCE = 100
"""Answers that a review waits for at once: whoever connects meanwhile has questions, too."""
ASKED_AGAIN_S = 0.1
"""After so long, those are asked about about whom there was no place to ask."""


class Reviewing:
    """What is to be asked again, and of whom."""

    def __init__(
        self,
        exchange: Exchange,
        desk: Desk,
        note_refused: Callable[[Client, str, str], None],
        wanted: Callable[[], None],
        give_way: Callable[[], Awaitable[None]],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        """`note_refused(client, kind, reason)` hears of each connection that is ended.

        `wanted` is told when `work` is to be called; `give_way` lets the loop do something else;
        `later(delay_s, call)` calls back.
        """
        self._exchange = exchange
        self._desk = desk
        self._note_refused = note_refused
        self._wanted = wanted
        self._give_way = give_way
        self._suspects: OrderedDict[tuple[TenantId, str], None] = OrderedDict()
        self._ended: deque[tuple[Client, str, str]] = deque()
        """Whose connections were ended, of what kind that was, and why: what the owner has not heard yet."""
        self._changed: dict[tuple[TenantId, str | None], None] = {}
        self._stale: set[TenantId] = set()
        self._later = later
        self._put_off: OrderedDict[Session, None] = OrderedDict()
        """Whom there was no place to ask about."""
        self._is_timed = False
        """Whether it is known already when they are asked about again."""
        self._asked_count = 0
        """Answers that are waited for."""

    def is_putting_out(self) -> bool:
        """Whether somebody is still connected who may have lost access."""
        return bool(self._suspects)

    def end_soon(self, tenant_id: TenantId, names: Iterable[str]) -> None:
        """Have the connections of these principals ended that would not be let in today, before all else."""
        self._exchange.permissions.doubted()
        self._suspects.update(((tenant_id, name), None) for name in names)
        self._wanted()

    async def judge_everybody(self) -> None:
        """Do the same for everybody who is connected; it is done when this returns."""
        self._exchange.permissions.doubted()
        for session in self._exchange.sessions:
            if session.client is not None:
                self._suspects[session.principal.tenant_id, session.principal.name] = None
        await self._end_suspects()

    def review_soon(self, tenant_id: TenantId, name: str | None = None) -> None:
        """Have sessions looked at: a policy of a tenant, or all that hangs on one name, has changed."""
        self._exchange.permissions.changed()
        self._stale.add(tenant_id)
        self._changed[tenant_id, name] = None
        self._wanted()

    async def work(self) -> None:
        """Do what is waiting, in slices."""
        await self._end_suspects()
        self._forget_stale()
        changed, self._changed = self._changed, {}
        await self._go_through(changed)
        self._ask_put_off()

    async def review(self, tenant_id: TenantId, name: str | None = None) -> None:
        """Look at sessions now; it is done when this returns."""
        self._exchange.permissions.changed()
        self._stale.add(tenant_id)
        self._forget_stale()
        await self._go_through({(tenant_id, name): None})
        await self._end_suspects()

    async def _end_suspects(self) -> None:
        count = 0
        while self._suspects or self._ended:
            if self._suspects:
                # The first that came is the first that goes.
                suspect, _ = self._suspects.popitem(last=False)
                for session in self._exchange.sessions.of(*suspect):
                    self._judge(session)
                    count += 1
            else:
                # To write down why takes as long as to end it, so it waits until all are out.
                self._note_refused(*self._ended.popleft())
                count += 1
            if count >= ENDED_AT_ONCE:
                count = 0
                await self._give_way()

    def _forget_stale(self) -> None:
        """Find routes anew: once for all that has changed at the same time."""
        for tenant_id in self._stale:
            self._exchange.sessions.router(tenant_id).forget_routes()
        self._stale.clear()

    async def _go_through(self, changed: Iterable[tuple[TenantId, str | None]]) -> None:
        count = 0
        for tenant_id, name in changed:
            for session in self._concerned(tenant_id, name):
                if self._asked_count < ASKED_AT_ONCE:
                    self._judge(session)
                else:
                    self._put_off_asking(session)
                self._look_at(session)
                count += 1
                if count % REVIEWED_AT_ONCE == 0:
                    await self._rest()
            # Names without a session cost little, but there may be thousands of them.
            count += 1
            if count % REVIEWED_AT_ONCE == 0:
                await self._rest()

    async def _rest(self) -> None:
        await self._give_way()
        await self._end_suspects()
        self._forget_stale()

    def _concerned(self, tenant_id: TenantId, name: str | None) -> list[Session]:
        sessions = self._exchange.sessions
        if name is not None:
            return sessions.of(tenant_id, name)
        return [session for session in sessions if session.principal.tenant_id == tenant_id]

    def _judge(self, session: Session) -> None:
        """Ask again who it is that has the connection."""
        client = session.client
        # Who was cut off is as good as gone, and shows no certificate any more.
        if client is None or client.credentials is None or not client.stream.is_open:
            return

        def hear(answer: Principal | Denied) -> None:
            self._asked_count -= 1
            self._conclude(session, client, answer)

        credentials = msgspec.structs.replace(client.credentials, certificate=client.stream.certificate)
        answer = self._exchange.permissions.authenticate(credentials, hear)
        if answer is None:
            self._asked_count += 1
        else:
            self._conclude(session, client, answer)

    def _conclude(self, session: Session, client: Client, answer: Principal | Denied) -> None:
        if not isinstance(answer, Denied):
            return
        if answer.is_judgement:
            self._end(client, answer)
        else:
            self._put_off_asking(session)

    def _put_off_asking(self, session: Session) -> None:
        self._put_off[session] = None
        if not self._is_timed:
            self._is_timed = True
            self._later(ASKED_AGAIN_S, self._ask_again)

    def _ask_again(self) -> None:
        self._is_timed = False
        self._wanted()

    def _ask_put_off(self) -> None:
        """Ask about those about whom there was no place to ask, as far as there is one now."""
        if self._is_timed:
            return
        for _ in range(min(len(self._put_off), ASKED_AT_ONCE - self._asked_count)):
            session, _ = self._put_off.popitem(last=False)
            self._judge(session)
            if session in self._put_off:
                break
        if self._put_off:
            self._put_off_asking(next(iter(self._put_off)))

    def _look_at(self, session: Session) -> None:
        """Ask again what it subscribed to, and where its will goes."""
        self._desk.review(session)
        will = session.will
        if will is not None and self._exchange.estate.will_denial(session, will) is not None:
            session.will = session.will_due_at = None
            if session.client is None:
                # It was to be looked at when its will was due, which is never now.
                self._exchange.sessions.expect(session)

    def _end(self, client: Client, denied: Denied) -> None:
        """End the connection of a client that would not be let in today."""
        if client.stream.is_open and client.session is not None:
            self._ended.append((client, "connection_ended", denied.reason))
            self._wanted()
            forget(self._exchange, [client.session], denied.reason, denied.reason_code)
