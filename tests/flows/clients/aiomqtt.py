"""aiomqtt: Paho's parser on the loop, without callbacks."""

import asyncio
from typing import Any

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from tests.flows.clients.client import KEEP_ALIVE_S, PATIENCE_S, Client, Message, RefusedError, Version, tls_context
from tests.flows.clients.paho import connect_properties


class _Library(aiomqtt.Client):
    """Notes the one thing that the library keeps to itself."""

    session_present = False

    def _on_connect(self, client: Any, data: Any, flags: paho.ConnectFlags, reason: Any, more: Any = None) -> None:
        self.session_present = flags.session_present
        super()._on_connect(client, data, flags, reason, more)


class AiomqttClient(Client):
    """Device only."""

    library = "aiomqtt"

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        is_new = self.version is Version.V5
        self._client = _Library(
            self.access.host,
            self.access.port,
            identifier=self.client_id,
            protocol=aiomqtt.ProtocolVersion(self.version),
            clean_session=None if is_new else clean,
            clean_start=clean if is_new else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=connect_properties(clean=clean) if is_new else None,
            will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain) if will else None,
            tls_context=tls_context(self.access),
            keepalive=KEEP_ALIVE_S,
            timeout=PATIENCE_S,
        )
        try:
            await self._client.__aenter__()
        except aiomqtt.MqttError as error:
            raise RefusedError(str(error)) from error
        return self._client.session_present

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        for granted in await self._client.subscribe(topic_filter, qos):
            if granted.is_failure if isinstance(granted, ReasonCode) else granted > qos:
                raise RefusedError(str(granted))

    async def publish(self, message: Message) -> None:
        await self._client.publish(message.topic, message.payload, message.qos, message.retain)

    async def receive(self) -> Message:
        async with asyncio.timeout(PATIENCE_S):
            message = await anext(self._client.messages)
        assert isinstance(message.payload, bytes)
        return Message(message.topic.value, message.payload, message.qos, message.retain)

    async def leave(self) -> None:
        await self._client.__aexit__(None, None, None)
