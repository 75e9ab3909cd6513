"""Stock amqtt, as its documentation starts it, with one listener and nobody refused.

Run as `python -m bench.stock_amqtt HOST PORT [CERTIFICATES_FOLDER]`; ends with SIGTERM.
"""

import asyncio
import logging
import signal
import sys
from pathlib import Path

from amqtt.broker import Broker

from bench import certificates


async def serve(host: str, port: int, tls: Path | None) -> None:
    """Run the broker until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    listener = {"type": "tcp", "bind": f"{host}:{port}", "max_connections": 2_000}
    if tls is not None:
        listener |= {
            "ssl": True,
            "cafile": str(tls / certificates.ROOT),
            "certfile": str(tls / certificates.SERVER),
            "keyfile": str(tls / certificates.SERVER_KEY),
        }
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3:] else None))
