"""What a client library can do, in words that are the same for all of them."""

import asyncio
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

PATIENCE_S = 20.0
KEEP_ALIVE_S = 30
SESSION_EXPIRY_S = 3_600
"""How long a session that is kept outlives its connection, where the client can say so."""


class Version(IntEnum):
    """The protocol level on the wire."""

    V3_1_1 = 4
    V5 = 5


@dataclass(frozen=True)
class Access:
    """Where a client reaches the broker, and by which root it knows that it is the right one."""

    host: str
    port: int
    trust: Path


@dataclass(frozen=True)
class DeviceAccess(Access):
    """MQTT over TLS with a certificate of its own."""

    certificate: Path
    key: Path
    alpn: str = field(default="", kw_only=True)
    """What it asks for where not everybody is a client of MQTT."""


@dataclass(frozen=True)
class OperatorAccess(Access):
    """MQTT over WebSocket over TLS, with a name and a secret."""

    path: str
    username: str
    password: str


@dataclass(frozen=True)
class Message:
    """What was published, or what a subscriber sees of it."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class RefusedError(Exception):
    """The broker did not accept what the client asked for."""


class Client(ABC):
    """One client made with one library. Every wait in it ends after `PATIENCE_S`."""

    library: str
    versions: tuple[Version, ...] = (Version.V3_1_1, Version.V5)
    highest_qos = 2
    """The best quality of service that the library subscribes with."""
    highest_qos_sent = 2
    tells_session = True
    """Whether the library lets its user see the session-present flag."""
    is_operator = False
    """Whether it connects as a person's program rather than as a device."""

    def __init__(self, access: Access, client_id: str, version: Version) -> None:
        self.access = access
        self.client_id = client_id
        self.version = version
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    @abstractmethod
    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        """Connect and give whether the broker had a session. Raises `RefusedError`."""

    @abstractmethod
    async def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe, and return once the broker has said yes. Raises `RefusedError`."""

    @abstractmethod
    async def publish(self, message: Message) -> None:
        """Publish, and return once the library takes it for done. Raises `RefusedError`."""

    @abstractmethod
    async def leave(self) -> None:
        """Disconnect in good order if there is a connection, and give back what the library holds."""

    async def receive(self) -> Message:
        """The next message. Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.inbox.get()

    async def receive_many(self, count: int) -> list[Message]:
        """The next messages, in order. Raises `TimeoutError`."""
        return [await self.receive() for _ in range(count)]


def tls_context(access: Access) -> ssl.SSLContext:
    """What libraries use that take a context of Python's own."""
    context = ssl.create_default_context(cafile=str(access.trust))
    if isinstance(access, DeviceAccess):
        context.load_cert_chain(access.certificate, access.key)
    return context
