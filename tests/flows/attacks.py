"""The stage for attacks: a gateway's broker with its own policy, attackers on raw sockets, and witnesses."""

import asyncio
import contextlib
import functools
import gc
import os
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from appliance.policies.book import PolicyBook
from appliance.registry import policy
from appliance.registry.model import Device, DeviceState, check_device_id
from broker.codec import encode
from broker.limits import Limits
from broker.packets import Connect, Packet, Publish
from broker.ports import ALLOWED, Decision, Denied, Principal
from tests.broker.house import House, Wire, serving
from tests.fakes import FakeAuthorizer

ALIVE_S = 2.0
"""After every attack somebody else can connect, subscribe and publish within this time."""
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

QUICK = Limits(sweep_interval_s=0.05)
_POLICIES = PolicyBook()


class PolicyAuthorizer(FakeAuthorizer):
    """Rights as the gateway's own policy gives them to devices; who is listed as an operator has them all."""

    def lend_to(self, authorizer: FakeAuthorizer) -> None:
        """Let an authoriser that is at work decide like this one."""
        authorizer.operators = self.operators
        for action in ("may_publish", "may_subscribe", "may_receive"):
            setattr(authorizer, action, getattr(self, action))

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        if principal.is_operator:
            return _decision(policy.may_operator_publish(topic))
        return _decision(policy.may_publish(_POLICIES, _device(principal.name), topic))

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:
        if principal.is_operator:
            return ALLOWED
        return _decision(policy.may_subscribe(_POLICIES, _device(principal.name), topic_filter))

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        if principal.is_operator:
            return ALLOWED
        return _decision(policy.may_receive(_POLICIES, _device(principal.name), topic))


@functools.cache
def _device(name: str) -> Device:
    return Device(1, check_device_id(name), "", "", "", "", DeviceState.ACTIVE, 0, 1)


def _decision(refusal: str | None) -> Decision:
    return ALLOWED if refusal is None else Denied(refusal)


@contextlib.asynccontextmanager
async def besieged(
    limits: Limits = QUICK,
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
) -> AsyncIterator[House]:
    """A broker that must still be alive when the attack is over, without an exception that nobody caught."""
    async with serving(limits, server_tls, client_tls) as house:
        yield house
        async with asyncio.timeout(ALIVE_S):
            assert await house.is_alive()


async def unencrypted(house: House) -> Wire:
    """A connection that begins no handshake, whatever the listener wants."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    house.clients.callback(writer.transport.abort)
    return Wire(reader, writer)


async def send_as_far_as_taken(wire: Wire, *packets: Packet | bytes) -> None:
    """Write; the broker may close the connection meanwhile."""
    with contextlib.suppress(OSError):
        await wire.send(*packets)


def hello(client_id: str = "attacker", level: int = 4, **rest: object) -> bytes:
    """The bytes of a CONNECT that is in order."""
    return encode(Connect(level, client_id, True, 0, **rest), level)  # type: ignore[arg-type]  # by name


def memory_bytes() -> int:
    """What this process has in memory now, but for garbage that is still to be found."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


@contextlib.contextmanager
def growing_less_than(limit_bytes: int) -> Iterator[None]:
    """The process, broker and attackers together, may grow by less than this."""
    before = memory_bytes()
    yield
    grown = memory_bytes() - before
    assert grown < limit_bytes, f"{grown:,} bytes more"


def published(packets: Sequence[Packet]) -> list[Publish]:
    """The messages among packets."""
    return [packet for packet in packets if isinstance(packet, Publish)]
