"""amqtt's client, which speaks 3.1.1 alone."""

import asyncio
import contextlib
from typing import Any

from amqtt.adapters import StreamWriterAdapter
from amqtt.client import MQTTClient
from amqtt.errors import ConnectError

from tests.flows.clients.client import (
    KEEP_ALIVE_S,
    PATIENCE_S,
    Client,
    DeviceAccess,
    Message,
    RefusedError,
    Version,
)

_REFUSED = 0x80


class AmqttClient(Client):
    """Device only."""

    library = "amqtt"
    versions = (Version.V3_1_1,)
    tells_session = False

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        access = self.access
        assert isinstance(access, DeviceAccess)
        files = {"cafile": str(access.trust), "certfile": str(access.certificate), "keyfile": str(access.key)}
        settings: dict[str, Any] = {"auto_reconnect": False, "keep_alive": KEEP_ALIVE_S, "connection": files}
        if will is not None:
            # The library takes text alone, and asks for these names.
            settings["will"] = {
                "topic": will.topic,
                "message": will.payload.decode(),
                "qos": will.qos,
                "retain": will.retain,
            }
        self._client = MQTTClient(self.client_id, settings)
        try:
            await self._client.connect(f"mqtts://{access.host}:{access.port}/", cleansession=clean)
        except ConnectError as error:
            raise RefusedError(str(error)) from error
        return False

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            granted = await self._client.subscribe([(topic_filter, qos)])
        if granted[0] >= _REFUSED:
            raise RefusedError(f"{granted}")

    async def publish(self, message: Message) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._client.publish(message.topic, message.payload, message.qos, message.retain)

    async def receive(self) -> Message:
        message = await self._client.deliver_message(timeout_duration=PATIENCE_S)
        assert message is not None
        return Message(message.topic, bytes(message.data), message.qos, message.retain)

    async def leave(self) -> None:
        assert self._client._handler is not None
        connection = self._client._handler.writer
        await self._client.disconnect()
        if isinstance(connection, StreamWriterAdapter):
            # The library may leave this to a task that it does not wait for.
            connection._writer.close()
            with contextlib.suppress(OSError):
                await connection._writer.wait_closed()
