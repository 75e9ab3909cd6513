"""mosquitto_pub and mosquitto_sub: one process for each thing said, so it cannot publish while it listens."""

import asyncio
import asyncio.subprocess
import contextlib

from tests.flows.clients.client import PATIENCE_S, Client, DeviceAccess, Message, RefusedError, Version

_MARK = "message "
"""Stands before a message, so that it is told from what the program says of itself."""

_REFUSED = 0x80


class MosquittoClient(Client):
    """Connects when it has something to say or to hear; it always has a filter, so that a session can be resumed."""

    library = "mosquitto"
    tells_session = False

    async def connect(self, *, clean: bool = True, will: Message | None = None) -> bool:
        self._session = () if clean else ("-c",)
        self._will: tuple[str, ...] = ()
        if will is not None:
            self._will = (
                *("--will-topic", will.topic, "--will-payload", will.payload.decode()),
                *("--will-qos", str(will.qos)),
                *(("--will-retain",) if will.retain else ()),
            )
        self._listening: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        if not clean:
            await self._listen(f"cmd/{self.client_id}/nothing", 0)
        return False

    async def subscribe(self, topic_filter: str, qos: int) -> None:
        await self.leave()
        await self._listen(topic_filter, qos)

    async def publish(self, message: Message) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._line("mosquitto_pub", message.topic, message.qos),
            *("-m", message.payload.decode()),
            *(("-r",) if message.retain else ()),
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            _, errors = await process.communicate()
        if process.returncode:
            raise RefusedError(errors.decode())

    async def leave(self) -> None:
        if self._listening is None:
            return
        assert self._reading is not None
        with contextlib.suppress(ProcessLookupError):
            self._listening.terminate()
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            await self._listening.wait()
        self._listening = None

    async def _listen(self, topic_filter: str, qos: int) -> None:
        self._listening = await asyncio.create_subprocess_exec(
            # Whole lines at once, though nobody sits at a terminal.
            *("stdbuf", "-oL", *self._line("mosquitto_sub", topic_filter, qos)),
            *("-d", "-F", f"{_MARK}%q %r %t %x", *self._session, *self._will),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(self._listening, subscribed), name="mosquitto_sub")
        async with asyncio.timeout(PATIENCE_S):
            await subscribed

    async def _read(self, process: asyncio.subprocess.Process, subscribed: "asyncio.Future[None]") -> None:
        assert process.stdout is not None
        said = []
        async for line in process.stdout:
            text = line.decode().rstrip("\n")
            said.append(text)
            if text.startswith(_MARK):
                qos, retain, topic, payload = text.removeprefix(_MARK).split(" ")
                self.inbox.put_nowait(Message(topic, bytes.fromhex(payload), int(qos), retain == "1"))
            elif text.startswith("Subscribed ") and not subscribed.done() and int(text.split()[-1]) < _REFUSED:
                subscribed.set_result(None)
        if not subscribed.done():
            subscribed.set_exception(RefusedError("\n".join(said)))

    def _line(self, program: str, topic: str, qos: int) -> list[str]:
        access = self.access
        assert isinstance(access, DeviceAccess)
        version = "mqttv5" if self.version is Version.V5 else "mqttv311"
        words = [program, "-h", access.host, "-p", access.port, "-i", self.client_id, "-V", version]
        words += ["--cafile", access.trust, "--cert", access.certificate, "--key", access.key]
        return [str(word) for word in (*words, "-t", topic, "-q", qos)]
