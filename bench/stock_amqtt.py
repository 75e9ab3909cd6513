"""Stock amqtt, as its documentation starts it, with one listener and nobody refused.

Run as `python -m bench.stock_amqtt HOST PORT`; ends with SIGTERM.
"""

import asyncio
import logging
import signal
import sys

from amqtt.broker import Broker


async def serve(host: str, port: int) -> None:
    """Run the broker until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    logging.getLogger("amqtt").setLevel(logging.ERROR)
    listener = {"type": "tcp", "bind": f"{host}:{port}", "max_connections": 1_000}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
