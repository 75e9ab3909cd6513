"""AWS's common runtime, which its device SDKs are made of: a client of its own for each version, both in C."""

import asyncio
from concurrent.futures import Future
from typing import Any

from awscrt import io, mqtt, mqtt5

from tests.flows.clients.client import (
    KEEP_ALIVE_S,
    PATIENCE_S,
    SESSION_EXPIRY_S,
    Access,
    Client,
    DeviceAccess,
    Message,
    RefusedError,
    Version,
)


async def _result(future: "Future[Any]") -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.wrap_future(future)


def _tls(access: Access) -> io.ClientTlsContext:
    assert isinstance(access, DeviceAccess)
    options = io.TlsContextOptions.create_client_with_mtls_from_path(str(access.certificate), str(access.key))
    options.override_default_trust_store_from_path(None, str(access.trust))
    if access.alpn:
        options.alpn_list = [access.alpn]
    return io.ClientTlsContext(options)


class AwsClient(Client):
    """The client for 3.1.1, which receives at QoS 2 but publishes at 1 at most."""

    library = "awscrt"
    versions = (Version.V3_1_1,)
    highest_qos_sent = 1

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        loop = asyncio.get_running_loop()
        self._connection = mqtt.Connection(
            mqtt.Client(tls_ctx=_tls(self.access)),
            self.access.host,
            self.access.port,
            self.client_id,
            clean_session=clean,
            reconnect_min_timeout_secs=1,
            keep_alive_secs=KEEP_ALIVE_S,
            will=mqtt.Will(will.topic, mqtt.QoS(will.qos), will.payload, will.retain) if will else None,
        )

        def on_message(topic: str, payload: bytes, dup: bool, qos: mqtt.QoS, retain: bool, **_: Any) -> None:
            loop.call_soon_threadsafe(self.inbox.put_nowait, Message(topic, payload, int(qos), retain))

        self._connection.on_message(on_message)
        self._was_accepted = False
        try:
            answer = await _result(self._connection.connect())
        except TimeoutError:
            raise
        except Exception as error:
            # It raises Exception itself, with the return code in it.
            raise RefusedError(str(error)) from error
        self._was_accepted = True
        return bool(answer["session_present"])

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        try:
            await _result(self._connection.subscribe(topic_filter, mqtt.QoS(qos))[0])
        except mqtt.SubscribeError as error:
            raise RefusedError(str(error)) from error

    async def publish(self, message: Message) -> None:
        qos = mqtt.QoS(message.qos)
        await _result(self._connection.publish(message.topic, message.payload, qos, message.retain)[0])

    async def leave(self) -> None:
        if self._was_accepted:
            await _result(self._connection.disconnect())


class Aws5Client(Client):
    """The client for 5, which has no QoS 2."""

    library = "awscrt"
    versions = (Version.V5,)
    highest_qos_sent = 1
    highest_qos = 1

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        self._loop = asyncio.get_running_loop()
        self._answered: Future[bool] = Future()
        self._stopped: Future[None] = Future()
        behavior = mqtt5.ClientSessionBehaviorType
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=self.access.host,
                port=self.access.port,
                tls_ctx=_tls(self.access),
                connect_options=mqtt5.ConnectPacket(
                    keep_alive_interval_sec=KEEP_ALIVE_S,
                    client_id=self.client_id,
                    session_expiry_interval_sec=0 if clean else SESSION_EXPIRY_S,
                    will=_packet(will) if will else None,
                ),
                session_behavior=behavior.CLEAN if clean else behavior.REJOIN_ALWAYS,
                on_publish_callback_fn=self._on_publish,
                on_lifecycle_event_connection_success_fn=self._on_success,
                on_lifecycle_event_connection_failure_fn=self._on_failure,
                on_lifecycle_event_stopped_fn=lambda _: self._stopped.set_result(None),
            )
        )
        self._client.start()
        return bool(await _result(self._answered))

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        wish = mqtt5.SubscribePacket([mqtt5.Subscription(topic_filter, mqtt5.QoS(qos))])
        answer = await _result(self._client.subscribe(wish))
        if max(answer.reason_codes) >= mqtt5.SubackReasonCode.UNSPECIFIED_ERROR:
            raise RefusedError(str(answer.reason_codes))

    async def publish(self, message: Message) -> None:
        done = await _result(self._client.publish(_packet(message)))
        reason = done.puback.reason_code if done.puback else None
        # A short PUBACK has none, which means success.
        if reason is not None and reason >= mqtt5.PubackReasonCode.UNSPECIFIED_ERROR:
            raise RefusedError(str(reason))

    async def leave(self) -> None:
        self._client.stop(mqtt5.DisconnectPacket())
        await _result(self._stopped)

    # Called by the threads of the library.

    def _on_publish(self, received: mqtt5.PublishReceivedData) -> None:
        packet = received.publish_packet
        message = Message(packet.topic, bytes(packet.payload), int(packet.qos), packet.retain)
        self._loop.call_soon_threadsafe(self.inbox.put_nowait, message)

    def _on_success(self, event: mqtt5.LifecycleConnectSuccessData) -> None:
        if not self._answered.done():
            self._answered.set_result(event.connack_packet.session_present)

    def _on_failure(self, event: mqtt5.LifecycleConnectFailureData) -> None:
        if not self._answered.done():
            self._answered.set_exception(RefusedError(str(event.exception)))


def _packet(message: Message) -> mqtt5.PublishPacket:
    return mqtt5.PublishPacket(
        topic=message.topic, payload=message.payload, qos=mqtt5.QoS(message.qos), retain=message.retain
    )
