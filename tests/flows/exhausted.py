"""A broker in a process of its own that may open few files: started with the files of its listener.

It prints its port. For each line it is sent it reads its certificates again and prints whether that went well.
"""

import asyncio
import resource
import sys
from pathlib import Path

from broker.limits import Limits
from broker.listener import DeviceTls, Endpoint
from broker.server import Broker
from tests.fakes import FakeAuthorizer, FakeOwner

FILES_LIMIT = 256


async def serve(certificate: Path, key: Path, trust: Path) -> None:
    """Serve until there is nothing more to read."""
    owner = FakeOwner()
    tls = DeviceTls(certificate, key, trust)
    limits = Limits(connect_timeout_s=60, sweep_interval_s=0.05)
    broker = Broker(owner, FakeAuthorizer(), lambda: 1_000, limits)
    owner.acknowledge = broker.acknowledge
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_LIMIT, FILES_LIMIT))
    async with broker.connected(), broker.listening(Endpoint("127.0.0.1", 0, tls)) as ports:
        print(ports[0], flush=True)  # noqa: T201  the port is for whoever started this
        while await lines.readline():
            print(_reloaded(tls), flush=True)  # noqa: T201  the same


def _reloaded(tls: DeviceTls) -> str:
    try:
        tls.reload()
    except OSError as error:
        return f"failed: {error.strerror}"
    return "reloaded"


if __name__ == "__main__":
    asyncio.run(serve(*map(Path, sys.argv[1:])))
