"""The broker alone, as the public suites expect it: their limits, and it refuses just what they want refused.

Run as `python -m bench.suite_broker HOST PORT`; ends with SIGTERM.
"""

import asyncio
import signal
import sys
import time

from bench.bare import Nobody
from broker.limits import Limits
from broker.listener import Endpoint
from broker.ports import ALLOWED, Credentials, Decision, Denied, Principal
from broker.server import Broker
from broker.topics import SHARED, matches

NO_SUBSCRIBE = "test/nosubscribe"
"""The Paho project's suites want a subscription to it refused."""
BRIDGE_STATE = "$SYS/broker/connection/+/state"
"""The only topic below `$SYS` that the Mosquitto project's sequences may publish to."""
LIMITS = Limits(
    packet_bytes=2_000_000,
    queue_bytes=4_000_000,
    unsent_bytes=4_000_000,
    receive_maximum=20,
    topic_aliases=10,
    keep_alive_s=60,
)
"""The sequences compare CONNACK with the first, fourth and fifth of these, the Paho project's suite with the last."""


class SuiteAuthorizer:
    """Lets everybody do everything but what a suite wants refused."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        """Whoever comes is who they say, and may see the broker's own topics."""
        return Principal(1, credentials.client_id, is_operator=True)

    def may_publish(self, principal: Principal, topic: str) -> Decision:  # noqa: ARG002  asked, not needed
        """Not to the broker's own topics, nor to what looks like a shared subscription."""
        if topic.startswith(SHARED) or (topic.startswith("$SYS/") and not matches(BRIDGE_STATE, topic)):
            return Denied("this topic is the broker's own")
        return ALLOWED

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:  # noqa: ARG002  asked, not needed
        """All but one."""
        return Denied("this is the filter that is refused", code=0x80) if topic_filter == NO_SUBSCRIBE else ALLOWED

    def may_receive(self, principal: Principal, topic: str) -> Decision:  # noqa: ARG002  asked, not needed
        """Yes."""
        return ALLOWED


async def serve(host: str, port: int) -> None:
    """Run the broker until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    owner = Nobody()
    owner.broker = Broker(owner, SuiteAuthorizer(), lambda: time.time_ns() // 1_000_000, LIMITS)
    # What the sequences compare byte by byte.
    owner.broker.exchange.owner_is_subscriber = False
    owner.broker.exchange.tells_reasons = False
    async with owner.broker.connected(), owner.broker.listening(Endpoint(host, port)):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
