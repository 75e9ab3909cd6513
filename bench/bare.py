"""The broker alone: an owner that keeps nothing and acknowledges at once.

Run as `python -m bench.bare HOST PORT`; ends with SIGTERM.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Sequence

from broker.listener import Endpoint
from broker.ports import Connected, Credentials, Denied, Disconnected, Message, Principal, Refused
from broker.server import Broker


class Anybody:
    """Lets everybody do everything."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        """Whoever comes is who they say."""
        return Principal(1, credentials.client_id)

    def may_publish(self, principal: Principal, topic: str) -> Denied | None:  # noqa: ARG002  asked, not needed
        """Yes."""
        return None

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Denied | None:  # noqa: ARG002  asked, not needed
        """Yes."""
        return None


class Nobody:
    """Does nothing with what is published."""

    broker: Broker

    def accept(self, batch: Sequence[Message]) -> None:
        """Acknowledge at once."""
        self.broker.acknowledge([message.receipt for message in batch])

    def note(self, event: Connected | Disconnected | Refused) -> None:
        """Hear of it."""


async def serve(host: str, port: int) -> None:
    """Run the broker until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    owner = Nobody()
    owner.broker = Broker(owner, Anybody(), lambda: time.time_ns() // 1_000_000)
    gc.freeze()
    async with owner.broker.connected(), owner.broker.listening(Endpoint(host, port)):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
