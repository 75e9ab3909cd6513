"""The broker alone: an owner that keeps nothing and acknowledges at once.

Run as `python -m bench.bare HOST PORT`, with `--tls FOLDER` for mutual TLS with the certificates of
@
"""

import argparse
import asyncio
import contextlib
import gc
import signal
import time
from array import array
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from bench import certificates
from bench.numbers import Spread, spread
from broker.listener import Endpoint
from broker.ports import ALLOWED, Connected, Credentials, Decision, Denied, Disconnected, Principal, Refused, Turn
from broker.retained import RetainedMessages
from broker.server import Broker
from broker.session import Session
from broker.tls import tls_context

TICK_S = 0.01


class Report(msgspec.Struct, frozen=True):
    """What the broker says of itself."""

    lag: Spread
    """How much later than due a ticker of 10 ms ran, since the report before."""
    connections: int
    sessions: int
    subscriptions: int
    retained: int
    dropped: int


class Anybody:
    """Lets everybody do everything."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        """Whoever comes is who they say."""
        return Principal(1, credentials.client_id)

    def may_publish(self, principal: Principal, topic: str) -> Decision:  # noqa: ARG002  asked, not needed
        """Yes."""
        return ALLOWED

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:  # noqa: ARG002  asked, not needed
        """Yes."""
        return ALLOWED

    def may_receive(self, principal: Principal, topic: str) -> Decision:  # noqa: ARG002  asked, not needed
        """Yes."""
        return ALLOWED


class Nobody:
    """Does nothing with what is published."""

    broker: Broker

    def accept(self, turn: Turn) -> None:
        """Acknowledge at once."""
        self.broker.acknowledge(turn.receipts)

    def note(self, event: Connected | Disconnected | Refused) -> None:
        """Hear of it."""


class Ticker:
    """Finds out how long a turn of the loop keeps others waiting."""

    def __init__(self) -> None:
        self.late: array[int] = array("Q")

    @contextlib.asynccontextmanager
    async def running(self, *, wanted: bool) -> AsyncIterator[None]:
        """Watch the loop while the block lasts."""
        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(self._tick(), name="tick") if wanted else None
            try:
                yield
            finally:
                if ticking is not None:
                    ticking.cancel()

    def taken(self) -> Spread:
        """How late it was since this was last asked."""
        late, self.late = self.late, array("Q")
        return spread(late)

    async def _tick(self) -> None:
        while True:
            due = time.perf_counter_ns() + int(TICK_S * 1e9)
            await asyncio.sleep(TICK_S)
            self.late.append(max(0, time.perf_counter_ns() - due))


async def serve(*endpoints: Endpoint, watched: bool) -> None:
    """Run the broker until SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    ticker = Ticker()
    # As the gateway does (appliance/process.py). Before the broker is made: all that it makes is counted by `_report`.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    owner = Nobody()
    owner.broker = Broker(owner, Anybody(), lambda: time.time_ns() // 1_000_000)
    loop.add_signal_handler(
        signal.SIGUSR1, lambda: print(msgspec.json.encode(_report(owner.broker, ticker)).decode(), flush=True)
    )
    async with (
        owner.broker.connected(),
        owner.broker.listening(*endpoints),
        ticker.running(wanted=watched),
    ):
        await stop.wait()


def _endpoint(host: str, port: int, tls: Path | None) -> Endpoint:
    if tls is None:
        return Endpoint(host, port)
    context = tls_context(tls / certificates.SERVER, tls / certificates.SERVER_KEY, tls / certificates.ROOT)
    return Endpoint(host, port, context)


def _report(broker: Broker, ticker: Ticker) -> Report:
    """Count what there is by looking at all objects: whatever the broker forgot to let go of is seen too."""
    lag = ticker.taken()
    gc.collect()
    alive = gc.get_objects()
    sessions = [thing for thing in alive if isinstance(thing, Session)]
    return Report(
        lag,
        broker.connection_count,
        len(sessions),
        sum(len(session.subscriptions) for session in sessions),
        sum(len(thing) for thing in alive if isinstance(thing, RetainedMessages)),
        broker.dropped_count,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench.bare")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--tls", type=Path)
    parser.add_argument("--plain-port", type=int)
    parser.add_argument("--lag", action="store_true")
    given = parser.parse_args()
    listeners = [_endpoint(given.host, given.port, given.tls)]
    if given.plain_port:
        listeners.append(_endpoint(given.host, given.plain_port, None))
    asyncio.run(serve(*listeners, watched=given.lag))
