"""A reader of server-sent events over a real HTTPS connection."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlencode

from tests.flows.running import RunningGateway


class Event(NamedTuple):
    kind: str
    event_id: str
    about: Any


class Listener:
    """What came, one event after the other, and the id of the last one as a browser remembers it."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer
        self.last_id = ""

    def next(self) -> Event | None:
        """The next event; None when the stream has ended."""
        fields: dict[str, str] = {}
        while line := self.answer.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                self.last_id = fields.get("id", self.last_id)
                if "data" in fields:
                    return Event(fields.get("event", "message"), self.last_id, json.loads(fields["data"]))
                fields = {}
            elif name:
                fields[name] = value
        return None

    def until(self, kind: str) -> list[Event]:
        """Everything up to and with the next event of a kind."""
        events = []
        while event := self.next():
            events.append(event)
            if event.kind == kind:
                return events
        raise AssertionError(f"the stream ended before {kind}: {events}")

    def reports(self, count: int) -> list[Event]:
        """The next reports, and nothing else."""
        found: list[Event] = []
        while len(found) < count:
            event = self.next()
            assert event is not None, found
            assert event.kind == "report", event
            found.append(event)
        return found


@contextmanager
def listening(gateway: RunningGateway, token: str, last_id: str = "", **asked: Any) -> Iterator[Listener]:
    """A stream that is followed, after its first event."""
    context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
    connection = http.client.HTTPSConnection("localhost", gateway.web_port, timeout=30, context=context)
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    if last_id:
        headers["last-event-id"] = last_id
    try:
        connection.request("GET", f"/v1/stream?{urlencode(asked, doseq=True)}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        with answer:
            yield Listener(answer)
    finally:
        connection.close()
