"""Shadows and jobs as devices ask for them with AWS's SDK: by service clients V1 and V2, over MQTT 3.1.1 and 5."""

import asyncio
import contextlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from awscrt import mqtt, mqtt5
from awscrt.mqtt_request_response import ClientOptions
from awsiot import (
    ServiceStreamOptions,
    V2ServiceException,
    iotjobs,
    iotshadow,
    mqtt5_client_builder,
    mqtt_connection_builder,
)

from tests.flows.sdk_devices import PATIENCE_S, Unpacked, result

SESSION_EXPIRY_S = 3_600
_ADDRESS = ("thing_name", "shadow_name", "job_id")
"""What a topic is made of; all else is said in the request."""


class RefusedError(Exception):
    """What the SDK made of a rejection: the error of its own model."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        self.error = error


class ServiceClient(ABC):
    """A service client of the SDK, with the names of the SDK in small letters."""

    def __init__(self, service: ModuleType, protocol: Any) -> None:
        self._service = service
        self._client = self._made(protocol)
        self._loop = asyncio.get_running_loop()

    async def ask(self, operation: str, **said: Any) -> Any:
        """Ask for an operation, `get_named_shadow` for example. Raises `RefusedError` with the answer if it is a no."""
        request = self._named(operation, "Request")(**said)
        answer = await self._asked(operation, request, {key: said[key] for key in _ADDRESS if key in said})
        assert answer.client_token == request.client_token
        return answer

    async def refused(self, operation: str, **said: Any) -> Any:
        """The error that an operation ends with."""
        try:
            answer = await self.ask(operation, **said)
        except RefusedError as refusal:
            return refusal.error
        raise AssertionError(answer)

    @abstractmethod
    async def hear(self, event: str, **address: str) -> asyncio.Queue[Any]:
        """What comes of an event, `shadow_delta_updated` for example, from now on."""

    @abstractmethod
    def _made(self, protocol: Any) -> Any:
        """The client of the SDK."""

    @abstractmethod
    async def _asked(self, operation: str, request: Any, address: Mapping[str, str]) -> Any:
        """Ask, and wait for the answer."""

    def _named(self, name: str, kind: str) -> Any:
        return getattr(self._service, name.title().replace("_", "") + kind)


class ClientV1(ServiceClient):
    """Subscribes as its user says, and finds by its token which answer belongs to which request."""

    _waiting: dict[str, "asyncio.Future[Any]"]
    _subscribed: set[tuple[str, ...]]

    async def hear(self, event: str, **address: str) -> asyncio.Queue[Any]:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        await self._subscribe(
            f"{event}_events",
            self._named(event, "SubscriptionRequest")(**address),
            lambda said: self._loop.call_soon_threadsafe(heard.put_nowait, said),
        )
        return heard

    def _made(self, protocol: Any) -> Any:
        self._waiting, self._subscribed = {}, set()
        kinds = {iotshadow: iotshadow.IotShadowClient, iotjobs: iotjobs.IotJobsClient}
        return kinds[self._service](protocol)

    async def _asked(self, operation: str, request: Any, address: Mapping[str, str]) -> Any:
        if (operation, *address.values()) not in self._subscribed:
            where = self._named(operation, "SubscriptionRequest")(**address)
            for outcome in ("accepted", "rejected"):
                await self._subscribe(f"{operation}_{outcome}", where, self._came)
            self._subscribed.add((operation, *address.values()))
        request.client_token = str(uuid.uuid4())
        answered = self._waiting[request.client_token] = self._loop.create_future()
        await result(getattr(self._client, f"publish_{operation}")(request, mqtt.QoS.AT_LEAST_ONCE))
        async with asyncio.timeout(PATIENCE_S):
            answer = await answered
        if hasattr(answer, "code"):
            raise RefusedError(answer)
        return answer

    async def _subscribe(self, what: str, where: Any, listener: Any) -> None:
        await result(getattr(self._client, f"subscribe_to_{what}")(where, mqtt.QoS.AT_LEAST_ONCE, listener)[0])

    def _came(self, answer: Any) -> None:
        # The SDK gives None for what it cannot read.
        assert answer is not None
        self._loop.call_soon_threadsafe(lambda: self._waiting.pop(answer.client_token).set_result(answer))


class ClientV2(ServiceClient):
    """Subscribes by itself, and waits for the answer with its own token."""

    _streams: list[Any]

    async def hear(self, event: str, **address: str) -> asyncio.Queue[Any]:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        is_listening = asyncio.Event()
        options: Any = ServiceStreamOptions(
            incoming_event_listener=lambda said: self._loop.call_soon_threadsafe(heard.put_nowait, said),
            subscription_status_listener=lambda _: self._loop.call_soon_threadsafe(is_listening.set),
        )
        make = getattr(self._client, f"create_{event}_stream")
        stream = make(self._named(event, "SubscriptionRequest")(**address), options)
        stream.open()
        self._streams.append(stream)
        async with asyncio.timeout(PATIENCE_S):
            await is_listening.wait()
        return heard

    def _made(self, protocol: Any) -> Any:
        self._streams = []
        kinds = {iotshadow: iotshadow.IotShadowClientV2, iotjobs: iotjobs.IotJobsClientV2}
        return kinds[self._service](protocol, ClientOptions(4, 8, int(PATIENCE_S)))

    async def _asked(self, operation: str, request: Any, _address: Mapping[str, str]) -> Any:
        try:
            return await result(getattr(self._client, operation)(request))
        except V2ServiceException as error:
            if error.modeled_error is None:
                raise
            raise RefusedError(error.modeled_error) from error


@dataclass(frozen=True)
class Speech:
    """One of the ways in which the SDK can speak: a version of MQTT, and a generation of service clients."""

    line: "type[Line]"
    client: type[ServiceClient]

    def __str__(self) -> str:
        return f"{self.line.version}-{self.client.__name__[-2:]}"

    @contextlib.asynccontextmanager
    async def connected(self, bundle: Unpacked, service: ModuleType) -> AsyncIterator["Connected"]:
        """A client of this service for as long as the block lasts; its session is kept while the line is down."""
        line = self.line(bundle)
        await line.up()
        try:
            yield Connected(line, self.client(service, line.protocol))
        finally:
            await line.down()


class Connected:
    """A device that is connected, and its service client."""

    def __init__(self, line: "Line", client: ServiceClient) -> None:
        self.client = client
        self._line = line

    @contextlib.asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """The line is down for as long as the block lasts; the program goes on."""
        await self._line.down()
        yield
        await self._line.up()


class Line(ABC):
    """A connection that can end and come back."""

    version: int
    protocol: Any
    """What the service clients speak through."""

    @abstractmethod
    def __init__(self, bundle: Unpacked) -> None: ...

    @abstractmethod
    async def up(self) -> None:
        """Connect."""

    @abstractmethod
    async def down(self) -> None:
        """Disconnect."""


class Line3(Line):
    """MQTT 3.1.1, where the builder keeps the session unless it is told otherwise."""

    version = 3

    def __init__(self, bundle: Unpacked) -> None:
        self.protocol = mqtt_connection_builder.mtls_from_path(**bundle.settings(bundle.mqtt_port))

    async def up(self) -> None:
        """Connect."""
        await result(self.protocol.connect())

    async def down(self) -> None:
        """Disconnect."""
        await result(self.protocol.disconnect())


class Line5(Line):
    """MQTT 5."""

    version = 5

    def __init__(self, bundle: Unpacked) -> None:
        self._connected: Future[None] = Future()
        self._stopped: Future[None] = Future()
        self.protocol = mqtt5_client_builder.mtls_from_path(
            **bundle.settings(bundle.mqtt_port),
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
            session_expiry_interval_sec=SESSION_EXPIRY_S,
            on_lifecycle_connection_success=lambda _: self._connected.set_result(None),
            on_lifecycle_stopped=lambda _: self._stopped.set_result(None),
        )

    async def up(self) -> None:
        """Connect."""
        self._connected = Future()
        self.protocol.start()
        await result(self._connected)

    async def down(self) -> None:
        """Disconnect."""
        self._stopped = Future()
        self.protocol.stop()
        await result(self._stopped)


SPEECHES = [Speech(line, client) for line in (Line3, Line5) for client in (ClientV1, ClientV2)]
