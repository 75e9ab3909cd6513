"""Clients that say exactly what a story tells them to, over TLS to a real gateway."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from tests.conformance.wire import Line, Wire
from tests.conformance.wire_format import MQTT_5, Connect, Kind, Name
from tests.flows.running import RunningGateway

SESSION_EXPIRY_S = 3_600


@contextlib.asynccontextmanager
async def wired(
    gateway: RunningGateway,
    device_id: str,
    bundle: Path,
    *,
    level: int = MQTT_5,
    keeps: bool = False,
    receive_maximum: int = 65_535,
) -> AsyncIterator[Wire]:
    """A device that the gateway has let in; on leaving, it vanishes without a word."""
    context = ssl.create_default_context(cafile=str(bundle / "root.pem"))
    context.load_cert_chain(bundle / "certificate.pem", bundle / "key.pem")
    transport, line = await asyncio.get_running_loop().create_connection(
        Line, "localhost", gateway.mqtt_port, ssl=context
    )
    wire = Wire(transport, line, level)
    try:
        expiry_s = SESSION_EXPIRY_S if keeps else 0
        own = (Name.SESSION_EXPIRY, expiry_s), (Name.RECEIVE_MAXIMUM, receive_maximum)
        properties = own if level == MQTT_5 else ()
        await wire.send(Connect(device_id, level, not keeps, 0, properties).data)
        wire.connack = await wire.expect(Kind.CONNACK)
        assert wire.connack.code == 0, wire.connack
        yield wire
    finally:
        wire.abort()
        async with asyncio.timeout(30):
            await line.until_lost()
