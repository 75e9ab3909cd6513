"""What time brings: silence, expiry, wills that were put off, and the figures below `$SYS/`."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from operator import itemgetter

from broker import sys_topics
from broker.client import Client
from broker.errors import ProtocolError
from broker.exchange import Exchange
from broker.message import Message, TenantId
from broker.reason_codes import ReasonCode
from broker.session import Session
from broker.traffic import Traffic

SLICE = 500
"""Connections or sessions looked at before the loop gets its turn back."""


class Upkeep:
    """Looks after clients and sessions a slice at a time."""

    def __init__(
        self,
        exchange: Exchange,
        clients: Collection[Client],
        traffic: Traffic,
        refuse: Callable[[Client, ProtocolError], None],
        refusals: Counter[str],
    ) -> None:
        """`clients` and `refusals` are looked at as they are at the time."""
        self._exchange = exchange
        self._clients = clients
        self._traffic = traffic
        self._refuse = refuse
        self._refusals = refusals
        self._started_at = exchange.clock()

    async def run(self) -> None:
        """Go on until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep(), name="mqtt sweep")
            tasks.create_task(self._tell_figures(), name="mqtt figures")

    async def _sweep(self) -> None:
        """End connections whose keep alive or CONNECT is overdue, and sessions whose time is over."""
        exchange = self._exchange
        while True:
            await asyncio.sleep(exchange.limits.sweep_interval_s)
            loop_time = asyncio.get_running_loop().time
            slow: list[tuple[int, Client]] = []
            for index, client in enumerate(list(self._clients), 1):
                self._check_silence(client, loop_time())
                unsent_bytes = client.stream.unsent_bytes
                if unsent_bytes:
                    slow.append((unsent_bytes, client))
                if index % SLICE == 0:
                    await asyncio.sleep(0)
            self._relieve(slow)
            now = exchange.clock()
            for index, session in enumerate(exchange.sessions.due(now), 1):
                self._end_or_speak(session, now)
                if index % SLICE == 0:
                    await asyncio.sleep(0)
            for index, session in enumerate(exchange.sessions.surplus(), 1):
                if session.client is None:
                    exchange.discard(session)
                if index % SLICE == 0:
                    await asyncio.sleep(0)

    def _relieve(self, slow: list[tuple[int, Client]]) -> None:
        """End the connections with the most unsent bytes until those of all are within their limit again."""
        surplus = sum(unsent_bytes for unsent_bytes, _ in slow) - self._exchange.limits.unsent_bytes_of_all
        for unsent_bytes, client in sorted(slow, key=itemgetter(0), reverse=True):
            if surplus <= 0:
                break
            surplus -= unsent_bytes
            reason = f"all clients together read too slowly, and this one had the most to take: {unsent_bytes:,} bytes"
            self._refuse(client, ProtocolError(ReasonCode.QUOTA_EXCEEDED, reason))

    def _end_or_speak(self, session: Session, now: int) -> None:
        """End a session whose time is over, or publish its will; nothing if its client came back meanwhile."""
        exchange = self._exchange
        if session.client is not None:
            return
        if now - session.left_at >= session.expiry_s * 1_000:
            exchange.discard(session)
        elif session.will_due_at is not None and session.will_due_at <= now:
            exchange.publish_will(session)
            exchange.sessions.expect(session)

    def _check_silence(self, client: Client, now: float) -> None:
        """End a connection that should have been heard by now, in the seconds of the loop."""
        if client.is_waiting or not self._traffic.is_open:
            # It is not heard, so it cannot be called silent, nor just after it is heard again.
            client.stream.heard_at = now
            return
        silent_s = now - client.stream.heard_at
        if client.session is None:
            limit_s = self._exchange.limits.connect_timeout_s
            if now - client.opened_at > limit_s:
                self._refuse(client, ProtocolError(ReasonCode.PROTOCOL_ERROR, f"no CONNECT within {limit_s:g} s"))
        elif client.keep_alive_s and silent_s > client.keep_alive_s:
            reason = f"nothing heard for {silent_s:.1f} s, more than its keep alive allows"
            self._refuse(client, ProtocolError(ReasonCode.KEEP_ALIVE_TIMEOUT, reason))

    async def _tell_figures(self) -> None:
        """Publish what the broker says of itself, and let retained messages expire."""
        exchange = self._exchange
        while True:
            now = exchange.clock()
            for tenant_id, router in list(exchange.sessions.routers.items()):
                for gone in router.retained.expired(now):
                    exchange.journal.retained_gone(gone)
                for topic, payload in sys_topics.messages(self._figures(tenant_id, now)).items():
                    exchange.tell(Message(tenant_id, "", "", topic, payload, 0, retain=True, arrived_at=now))
                # Each looks at all sessions and all that is retained for it.
                await asyncio.sleep(0)
            await asyncio.sleep(exchange.limits.sys_interval_s)

    def _figures(self, tenant_id: TenantId, now: int) -> sys_topics.Figures:
        exchange = self._exchange
        sessions = [session for session in exchange.sessions if session.principal.tenant_id == tenant_id]
        return sys_topics.Figures(
            uptime_s=(now - self._started_at) // 1_000,
            connections=sum(session.client is not None for session in sessions),
            sessions=len(sessions),
            subscriptions=sum(len(session.subscriptions) for session in sessions),
            retained=len(exchange.sessions.router(tenant_id).retained),
            queued_bytes=exchange.sessions.queued_bytes,
            received=exchange.message_count,
            delivered=exchange.delivered_count,
            dropped=exchange.sessions.dropped_count,
            refused=self._refusals.total(),
        )
