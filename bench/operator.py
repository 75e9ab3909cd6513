"""A person's script at the gateway's REST interface, as far as a measurement needs one."""

import contextlib
import http.client
import ssl
from pathlib import Path
from typing import Any

import msgspec

from bench.children import BenchError
from bench.gateway import HOST, WEB_PORT

TIMEOUT_S = 60.0
_OPEN = ("queued", "sent", "acknowledged", "in_progress")


class Progress(msgspec.Struct, frozen=True):
    """How far the commands of a batch have come."""

    open_count: int
    succeeded_count: int


class Operator:
    """Asks over HTTPS with a token."""

    def __init__(self, certificate: Path, token: str) -> None:
        self._context = ssl.create_default_context(cafile=certificate)
        # The address is this machine's, and in no certificate.
        self._context.check_hostname = False
        self._token = token

    def version(self, device_id: str) -> int:
        """The version of a device's classic shadow."""
        return int(self._ask("GET", f"/v1/devices/{device_id}/shadow")["version"])

    def order(self, prefix: str) -> str:
        """Send a command to every device whose name begins so; give the batch."""
        command = {"name": "blink", "payload": {"times": 3}}
        return str(self._ask("POST", "/v1/commands", {"command": command, "query": prefix})["batch_id"])

    def progress(self, batch_id: str) -> Progress:
        """How far a batch has come."""
        counts = self._ask("GET", f"/v1/command-batches/{batch_id}")["counts"]
        return Progress(sum(counts.get(state, 0) for state in _OPEN), counts.get("succeeded", 0))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection = http.client.HTTPSConnection(HOST, WEB_PORT, context=self._context, timeout=TIMEOUT_S)
        # Each time anew: the gateway ends a connection that says nothing for some seconds.
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else msgspec.json.encode(body), headers)
            answer = connection.getresponse()
            told = answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise BenchError(f"{method} {path} was answered by {answer.status}: {told[:300].decode(errors='replace')}")
        decoded: dict[str, Any] = msgspec.json.decode(told)
        return decoded
