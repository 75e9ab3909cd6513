"""gmqtt: a parser of its own on the loop, with callbacks."""

import asyncio
import contextlib
import ssl
from typing import Any

import gmqtt

from tests.flows.clients.client import (
    KEEP_ALIVE_S,
    PATIENCE_S,
    SESSION_EXPIRY_S,
    Client,
    Message,
    RefusedError,
    Version,
    tls_context,
)

_REFUSED = 0x80


class GmqttClient(Client):
    """Device only."""

    library = "gmqtt"

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        more = {"session_expiry_interval": SESSION_EXPIRY_S} if self.version is Version.V5 and not clean else {}
        words = gmqtt.Message(will.topic, will.payload, will.qos, will.retain) if will else None
        self._client = gmqtt.Client(self.client_id, clean_session=clean, will_message=words, **more)
        # It would try again for ever.
        self._client.set_config({"reconnect_retries": -2})
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.on_subscribe = self._on_subscribe
        self._granted: asyncio.Queue[tuple[int, ...]] = asyncio.Queue()
        self._session_present = False
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._client.connect(
                    self.access.host,
                    self.access.port,
                    ssl=tls_context(self.access),
                    keepalive=KEEP_ALIVE_S,
                    version=int(self.version),
                )
        except gmqtt.mqtt.handler.MQTTConnectError as error:
            raise RefusedError(str(error)) from error
        return self._session_present

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        self._client.subscribe(topic_filter, qos)
        async with asyncio.timeout(PATIENCE_S):
            granted = await self._granted.get()
        if max(granted) >= _REFUSED:
            raise RefusedError(f"{granted}")

    async def publish(self, message: Message) -> None:
        self._client.publish(message.topic, message.payload, message.qos, message.retain)
        # It says only that everything is acknowledged, not what.
        async with asyncio.timeout(PATIENCE_S):
            await self._client._persistent_storage.wait_empty()

    async def leave(self) -> None:
        with contextlib.suppress(ssl.SSLError):
            # It lets the TLS session go while the last step of a QoS 2 delivery may be on its way to it.
            await self._client.disconnect()

    # Called by the library.

    def _on_connect(self, _client: Any, flags: int, _reason: int, _properties: Any) -> None:
        self._session_present = bool(flags)

    def _on_message(self, _client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]) -> int:
        self.inbox.put_nowait(Message(topic, bytes(payload), qos, bool(properties["retain"])))
        return 0

    def _on_subscribe(self, _client: Any, _number: int, granted: tuple[int, ...], _properties: Any) -> None:
        self._granted.put_nowait(granted)
