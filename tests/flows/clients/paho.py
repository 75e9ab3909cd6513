"""Eclipse Paho for Python: a thread that calls back."""

import asyncio
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tests.flows.clients.client import (
    KEEP_ALIVE_S,
    PATIENCE_S,
    SESSION_EXPIRY_S,
    Client,
    DeviceAccess,
    Message,
    OperatorAccess,
    RefusedError,
    Version,
)


class PahoClient(Client):
    """Its thread hands every event over to the loop of the test."""

    library = "paho"

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[bool] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._client = self._new_client(clean=clean)
        if will is not None:
            self._client.will_set(will.topic, will.payload, will.qos, will.retain)
        more: dict[str, Any] = {}
        if self.version is Version.V5:
            more = {"clean_start": clean, "properties": connect_properties(clean=clean)}
        await asyncio.to_thread(self._client.connect, self.access.host, self.access.port, KEEP_ALIVE_S, **more)
        self._client.loop_start()
        async with asyncio.timeout(PATIENCE_S):
            return await self._answered

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        _, number = self._client.subscribe(topic_filter, qos)
        assert number is not None
        await self._completed(number)

    async def publish(self, message: Message) -> None:
        sent = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        await self._completed(sent.mid)

    async def leave(self) -> None:
        client = self._client
        # The library closes its last sockets when nobody holds it any longer, which a circle would put off.
        del self._client
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)

    async def _completed(self, number: int) -> None:
        # The answer is handed to the loop, so it cannot come before this line.
        self._waiting[number] = self._loop.create_future()
        async with asyncio.timeout(PATIENCE_S):
            await self._waiting[number]

    def _new_client(self, *, clean: bool) -> paho.Client:
        access = self.access
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            self.client_id,
            clean_session=clean if self.version is Version.V3_1_1 else None,
            protocol=MQTTProtocolVersion(self.version),
            transport="websockets" if isinstance(access, OperatorAccess) else "tcp",
            reconnect_on_failure=False,
        )
        match access:
            case DeviceAccess():
                client.tls_set(str(access.trust), str(access.certificate), str(access.key))
            case OperatorAccess():
                client.tls_set(str(access.trust))
                client.ws_set_options(access.path)
                client.username_pw_set(access.username, access.password)
            case _:
                raise TypeError(access)
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        return client

    # Called by the thread of the library.

    def _on_connect(self, _client: Any, _data: Any, flags: paho.ConnectFlags, reason: ReasonCode, _more: Any) -> None:
        refusal = RefusedError(str(reason)) if reason.is_failure else None
        self._loop.call_soon_threadsafe(settle, self._answered, flags.session_present, refusal)

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        received = Message(message.topic, bytes(message.payload), message.qos, message.retain)
        self._loop.call_soon_threadsafe(self.inbox.put_nowait, received)

    def _on_subscribe(self, _client: Any, _data: Any, number: int, reasons: list[ReasonCode], _more: Any) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._loop.call_soon_threadsafe(self._complete, number, RefusedError(*refused) if refused else None)

    def _on_publish(self, _client: Any, _data: Any, number: int, reason: ReasonCode, _more: Any) -> None:
        refusal = RefusedError(str(reason)) if reason.is_failure else None
        self._loop.call_soon_threadsafe(self._complete, number, refusal)

    def _complete(self, number: int, refusal: RefusedError | None) -> None:
        settle(self._waiting.pop(number), None, refusal)


def connect_properties(*, clean: bool) -> Properties:
    """How long a session is kept, in the library's words."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 0 if clean else SESSION_EXPIRY_S
    return properties


def settle(future: "asyncio.Future[Any]", value: object, refusal: RefusedError | None) -> None:
    """Give a future its one result; a later answer is none of its business."""
    if future.done():
        return
    if refusal is None:
        future.set_result(value)
    else:
        future.set_exception(refusal)
