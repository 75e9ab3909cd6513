"""What time brings: silence, expiry, wills that were put off, and the figures below `$SYS/`."""

import asyncio
from collections import Counter
from collections.abc import Callable
from operator import itemgetter

import msgspec

from broker import sys_topics
from broker.agenda import Agenda
from broker.client import Client
from broker.errors import ProtocolError
from broker.exchange import NOTED_BYTES, Exchange
from broker.message import Message, TenantId
from broker.reason_codes import ReasonCode
from broker.session import Session
from broker.traffic import Traffic

SLICE = 500
"""Connections or sessions looked at before the loop gets its turn back."""


class _Counted(msgspec.Struct):
    """How many a tenant has, and how many messages its sessions did not get."""

    sessions: int = 0
    connections: int = 0
    subscriptions: int = 0
    dropped: int = 0


class Upkeep:
    """Looks after clients and sessions a slice at a time."""

    def __init__(
        self,
        exchange: Exchange,
        traffic: Traffic,
        refuse: Callable[[Client, ProtocolError], None],
        refusals: Counter[str],
    ) -> None:
        """`refusals` are looked at as they are at the time."""
        self._exchange = exchange
        self._traffic = traffic
        self._refuse = refuse
        self._refusals = refusals
        self._started_at = exchange.clock()
        self._agenda: Agenda[Client] = Agenda(exchange.limits.sweep_interval_s)
        """When a client has to be heard again, at the earliest: it may have been heard since."""

    def expect(self, client: Client) -> None:
        """Look after a client that has come, or that was let in."""
        limit_s = self._limit_s(client)
        if limit_s:
            self._agenda.expect(client, self._silent_since(client) + limit_s)
        else:
            self._agenda.forget(client)

    def forget(self, client: Client) -> None:
        """Look no more after a client that is gone."""
        self._agenda.forget(client)
        self._exchange.slow.pop(client, None)

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
            for index, client in enumerate(self._agenda.due(loop_time()), 1):
                self._check_silence(client, loop_time())
                if index % SLICE == 0:
                    await asyncio.sleep(0)
            await self._relieve()
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

    async def _relieve(self) -> None:
        """End the connections with the most unsent bytes until those of all are within their limit again."""
        slow = self._exchange.slow
        most: list[tuple[int, Client]] = []
        for index, client in enumerate(list(slow), 1):
            unsent_bytes = client.stream.unsent_bytes
            if unsent_bytes > NOTED_BYTES:
                most.append((unsent_bytes, client))
            else:
                slow.pop(client, None)
            if index % SLICE == 0:
                await asyncio.sleep(0)
        surplus = sum(unsent_bytes for unsent_bytes, _ in most) - self._exchange.limits.unsent_bytes_of_all
        for unsent_bytes, client in sorted(most, key=itemgetter(0), reverse=True):
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

    def _limit_s(self, client: Client) -> float:
        """How long a client may be silent; 0 is for ever."""
        return self._exchange.limits.connect_timeout_s if client.session is None else client.keep_alive_s

    def _silent_since(self, client: Client) -> float:
        """When its silence began, in the seconds of the loop. Before CONNECT, whatever it says is not what counts."""
        return client.opened_at if client.session is None else client.stream.heard_at

    def _check_silence(self, client: Client, now: float) -> None:
        """End a connection that should have been heard by now, in the seconds of the loop; or look again later."""
        if not client.stream.is_open:
            return
        if client.is_waiting or not self._traffic.is_open:
            # It is not heard, so it cannot be called silent, nor just after it is heard again.
            client.stream.heard_at = client.opened_at = now
        limit_s = self._limit_s(client)
        silent_s = now - self._silent_since(client)
        if silent_s <= limit_s:
            self.expect(client)
        elif client.session is None:
            self._refuse(client, ProtocolError(ReasonCode.PROTOCOL_ERROR, f"no CONNECT within {limit_s:g} s"))
        else:
            reason = f"nothing heard for {silent_s:.1f} s, more than its keep alive allows"
            self._refuse(client, ProtocolError(ReasonCode.KEEP_ALIVE_TIMEOUT, reason))

    async def _tell_figures(self) -> None:
        """Publish what the broker says of itself, and let retained messages expire."""
        exchange = self._exchange
        while True:
            counted = await self._counted()
            dropped = exchange.sessions.dropped_of_ended + sum([of_one.dropped for of_one in counted.values()])
            now = exchange.clock()
            for tenant_id, router in list(exchange.sessions.routers.items()):
                for gone in router.retained.expired(now):
                    exchange.journal.retained_gone(gone)
                figures = self._figures(counted.get(tenant_id) or _Counted(), len(router.retained), dropped, now)
                for topic, payload in sys_topics.messages(figures).items():
                    exchange.tell(Message(tenant_id, "", "", topic, payload, 0, retain=True, arrived_at=now))
                await asyncio.sleep(0)
            await asyncio.sleep(exchange.limits.sys_interval_s)

    async def _counted(self) -> dict[TenantId, _Counted]:
        """What each tenant has, a slice at a time."""
        counted: dict[TenantId, _Counted] = {}
        for index, session in enumerate(list(self._exchange.sessions), 1):
            of_tenant = counted.get(session.principal.tenant_id)
            if of_tenant is None:
                of_tenant = counted[session.principal.tenant_id] = _Counted()
            of_tenant.sessions += 1
            if session.client is not None:
                of_tenant.connections += 1
            of_tenant.subscriptions += len(session.subscriptions)
            of_tenant.dropped += session.dropped_count
            if index % SLICE == 0:
                await asyncio.sleep(0)
        return counted

    def _figures(self, counted: _Counted, retained: int, dropped: int, now: int) -> sys_topics.Figures:
        exchange = self._exchange
        return sys_topics.Figures(
            uptime_s=(now - self._started_at) // 1_000,
            connections=counted.connections,
            sessions=counted.sessions,
            subscriptions=counted.subscriptions,
            retained=retained,
            queued_bytes=exchange.sessions.queued_bytes,
            received=exchange.message_count,
            delivered=exchange.delivered_count,
            dropped=dropped,
            refused=self._refusals.total(),
        )
