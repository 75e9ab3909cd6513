"""MQTT.js over WebSocket, in a process of Node that is spoken to by lines of JSON."""

import asyncio
import asyncio.subprocess
import json
import os
from pathlib import Path
from typing import Any

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

SCRIPT = Path(__file__).with_name("mqttjs.js")
# Where Debian puts the libraries of Node; a Node that is not Debian's does not look there.
LIBRARIES = "/usr/share/nodejs"


class MqttjsClient(Client):
    """What a page or a person's script uses."""

    library = "mqttjs"
    is_operator = True

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        self._process = await asyncio.create_subprocess_exec(
            *("node", SCRIPT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "NODE_PATH": LIBRARIES},
        )
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(), name="MQTT.js")
        options: dict[str, Any] = {
            "protocolVersion": int(self.version),
            "clientId": self.client_id,
            "clean": clean,
            "keepalive": KEEP_ALIVE_S,
            "reconnectPeriod": 0,
        }
        if self.version is Version.V5:
            options["properties"] = {"sessionExpiryInterval": 0 if clean else SESSION_EXPIRY_S}
        if will is not None:
            options["will"] = {
                "topic": will.topic,
                "payload": will.payload.decode(),
                "qos": will.qos,
                "retain": will.retain,
            }
        return bool(await self._ask("connect", **self._address(options)))

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        await self._ask("subscribe", filter=topic_filter, qos=qos)

    async def publish(self, message: Message) -> None:
        await self._ask(
            "publish", topic=message.topic, payload=message.payload.hex(), qos=message.qos, retain=message.retain
        )

    async def leave(self) -> None:
        await self._ask("leave")
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            await self._process.wait()

    def _address(self, options: dict[str, Any]) -> dict[str, Any]:
        access = self.access
        place = f"{access.host}:{access.port}"
        match access:
            case DeviceAccess():
                files = {"ca": access.trust, "cert": access.certificate, "key": access.key}
                url = f"mqtts://{place}"
            case OperatorAccess():
                files = {"ca": access.trust}
                url = f"wss://{place}{access.path}"
                options |= {"username": access.username, "password": access.password}
            case _:
                raise TypeError(access)
        return {"url": url, "options": options, "files": {name: str(path) for name, path in files.items()}}

    async def _ask(self, verb: str, **wish: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"verb": verb, **wish}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            answer = await self._answers.get()
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer["answer"]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            if "message" in said:
                topic, payload, qos, retain = said["message"]
                self.inbox.put_nowait(Message(topic, bytes.fromhex(payload), qos, retain))
            else:
                self._answers.put_nowait(said)
        self._answers.put_nowait({"error": "the process ended"})
