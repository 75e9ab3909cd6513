"""Devices made with AWS's SDK V2 out of a bundle: the builders' own defaults, and nothing that is not in the folder."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awscrt import mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder

PATIENCE_S = 20.0


async def result(future: "Future[Any]") -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.wrap_future(future)


@dataclass(frozen=True)
class Unpacked:
    """A bundle in a folder, and where its README says that the gateway is."""

    device_id: str
    folder: Path
    host: str
    mqtt_port: int
    shared_port: int

    def settings(self, port: int) -> Mapping[str, Any]:
        """What both builders are told. They ask for MQTT by ALPN on port 443 alone."""
        return {
            "endpoint": self.host,
            "port": port,
            "cert_filepath": str(self.folder / "certificate.pem"),
            "pri_key_filepath": str(self.folder / "key.pem"),
            "ca_filepath": str(self.folder / "root.pem"),
            "client_id": self.device_id,
        }


class SdkDevice(ABC):
    """A device that is connected for as long as the block lasts."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    @classmethod
    @abstractmethod
    def connected(cls, bundle: Unpacked, port: int) -> contextlib.AbstractAsyncContextManager["SdkDevice"]:
        """Connect by a builder of the SDK, and disconnect in the end."""

    @abstractmethod
    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1, until it is acknowledged."""

    @abstractmethod
    async def may_subscribe(self, topic_filter: str) -> bool:
        """Subscribe at QoS 1, and whether that was granted."""

    @abstractmethod
    async def is_told_no(self, topic: str) -> bool:
        """Publish at QoS 1 where it is denied, and whether the device is told so as its version of MQTT has it."""

    def _came(self, topic: str, payload: bytes) -> None:
        self._loop.call_soon_threadsafe(self.inbox.put_nowait, (topic, payload))


class SdkDevice3(SdkDevice):
    """MQTT 3.1.1."""

    _connection: Any

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, bundle: Unpacked, port: int) -> AsyncIterator[SdkDevice]:
        device = cls()
        device._interrupted = Future()
        device._connection = mqtt_connection_builder.mtls_from_path(
            **bundle.settings(port), on_connection_interrupted=device._on_interrupted
        )
        await result(device._connection.connect())
        try:
            yield device
        finally:
            await result(device._connection.disconnect())

    async def publish(self, topic: str, payload: bytes) -> None:
        await result(self._connection.publish(topic, payload, mqtt.QoS.AT_LEAST_ONCE)[0])

    async def may_subscribe(self, topic_filter: str) -> bool:
        try:
            await result(self._connection.subscribe(topic_filter, mqtt.QoS.AT_LEAST_ONCE, self._on_message)[0])
        except mqtt.SubscribeError:
            return False
        return True

    async def is_told_no(self, topic: str) -> bool:
        # 3.1.1 has no word for it: the connection ends, and the library will try again until it is told to leave.
        self._connection.publish(topic, b"1", mqtt.QoS.AT_LEAST_ONCE)
        await result(self._interrupted)
        return True

    _interrupted: "Future[None]"

    def _on_interrupted(self, connection: Any, error: Any, **_: Any) -> None:
        if not self._interrupted.done():
            self._interrupted.set_result(None)

    def _on_message(self, topic: str, payload: bytes, **_: Any) -> None:
        self._came(topic, payload)


class SdkDevice5(SdkDevice):
    """MQTT 5."""

    _client: Any

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, bundle: Unpacked, port: int) -> AsyncIterator[SdkDevice]:
        device = cls()
        is_connected: Future[None] = Future()
        is_stopped: Future[None] = Future()
        device._client = mqtt5_client_builder.mtls_from_path(
            **bundle.settings(port),
            on_publish_received=lambda got: device._came(got.publish_packet.topic, bytes(got.publish_packet.payload)),
            on_lifecycle_connection_success=lambda _: is_connected.set_result(None),
            on_lifecycle_connection_failure=lambda event: _fail(is_connected, event.exception),
            on_lifecycle_stopped=lambda _: is_stopped.set_result(None),
        )
        device._client.start()
        try:
            await result(is_connected)
            yield device
        finally:
            device._client.stop()
            await result(is_stopped)

    async def publish(self, topic: str, payload: bytes) -> None:
        reason = await self._reason(topic, payload)
        assert reason < mqtt5.PubackReasonCode.UNSPECIFIED_ERROR, reason

    async def may_subscribe(self, topic_filter: str) -> bool:
        wish = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter, mqtt5.QoS.AT_LEAST_ONCE)])
        [reason] = (await result(self._client.subscribe(wish))).reason_codes
        return bool(reason < mqtt5.SubackReasonCode.UNSPECIFIED_ERROR)

    async def is_told_no(self, topic: str) -> bool:
        return bool(await self._reason(topic, b"1") == mqtt5.PubackReasonCode.NOT_AUTHORIZED)

    async def _reason(self, topic: str, payload: bytes) -> int:
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        acknowledged = (await result(self._client.publish(packet))).puback
        # A short PUBACK has no reason, which means success.
        return int(acknowledged.reason_code or mqtt5.PubackReasonCode.SUCCESS)


def _fail(future: "Future[None]", error: Exception) -> None:
    """The library tries again after each failure: the first is told."""
    if not future.done():
        future.set_exception(error)
