"""Live sessions when what let them in, or what they may do, has changed: the authoriser is asked again.

Whoever may have lost access comes first: a revocation waits for no review of thousands, however long it takes.
"""

from collections.abc import Awaitable, Callable, Iterable

import msgspec

from broker.client import Client
from broker.exchange import Exchange
from broker.forgetting import forget
from broker.message import TenantId
from broker.ports import Denied
from broker.session import Session
from broker.subscribing import Desk

ENDED_AT_ONCE = 200
"""Sessions whose access is looked at before the loop gets its turn back."""
REVIEWED_AT_ONCE = 100
"""Sessions that are reviewed before it: each may have many subscriptions."""


class Reviewing:
    """What is to be asked again, and of whom."""

    def __init__(
        self,
        exchange: Exchange,
        desk: Desk,
        note_refused: Callable[[Client, str, str], None],
        wanted: Callable[[], None],
        give_way: Callable[[], Awaitable[None]],
    ) -> None:
        """`note_refused(client, kind, reason)` hears of each connection that is ended.

        `wanted` is told when `work` is to be called; `give_way` lets the loop do something else.
        """
        self._exchange = exchange
        self._desk = desk
        self._note_refused = note_refused
        self._wanted = wanted
        self._give_way = give_way
        self._suspects: dict[tuple[TenantId, str], None] = {}
        self._changed: dict[tuple[TenantId, str | None], None] = {}
        self._stale: set[TenantId] = set()

    def end_soon(self, tenant_id: TenantId, names: Iterable[str]) -> None:
        """Have the connections of these principals ended that would not be let in today, before all else."""
        self._suspects.update(((tenant_id, name), None) for name in names)
        self._wanted()

    async def judge_everybody(self) -> None:
        """Do the same for everybody who is connected; it is done when this returns."""
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

    async def review(self, tenant_id: TenantId, name: str | None = None) -> None:
        """Look at sessions now; it is done when this returns."""
        self._exchange.permissions.changed()
        self._stale.add(tenant_id)
        self._forget_stale()
        await self._go_through({(tenant_id, name): None})

    async def _end_suspects(self) -> None:
        count = 0
        while self._suspects:
            # The first that came is the first that goes.
            suspect = next(iter(self._suspects))
            del self._suspects[suspect]
            for session in self._exchange.sessions.of(*suspect):
                self._judge(session)
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
                self._judge(session)
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
        if client is not None and client.credentials is not None:
            credentials = msgspec.structs.replace(client.credentials, certificate=client.stream.certificate)
            permissions = self._exchange.permissions
            permissions.authenticate_again(credentials, lambda denied: self._end(client, denied))

    def _look_at(self, session: Session) -> None:
        """Ask again what it subscribed to, and where its will goes."""
        self._desk.review(session)
        if session.will is not None and not self._exchange.may_still_be_left(session, session.will):
            session.will = session.will_due_at = None
            if session.client is None:
                # It was to be looked at when its will was due, which is never now.
                self._exchange.sessions.expect(session)

    def _end(self, client: Client, denied: Denied) -> None:
        """End the connection of a client that would not be let in today."""
        if client.stream.is_open and client.session is not None:
            self._note_refused(client, "connection_ended", denied.reason)
            forget(self._exchange, [client.session], denied.reason, denied.reason_code)
