"""People who look at charts: questions over HTTPS by the clock, in a process of its own.

Run as `python -m bench.telemetry_charts '<JSON of Looking>'`; prints `Looked` as JSON when the time is over.
"""

import http.client
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from bench.numbers import Spread, spread

PEOPLE = 4
TIMEOUT_S = 30.0


class Looking(msgspec.Struct, frozen=True):
    """So many questions a second; each person has a connection, and asks for one path after the other."""

    host: str
    port: int
    certificate: str
    token: str
    paths: tuple[str, ...]
    rate: float
    seconds: float


class Looked(msgspec.Struct, frozen=True):
    """What was answered."""

    count: int
    bytes_each: int
    refused: int
    times: Spread


class _Person:
    """Asks every so often, and after that as soon as there was an answer."""

    def __init__(self, task: Looking, number: int) -> None:
        self._task = task
        self._number = number
        self.times: list[int] = []
        self.byte_count = 0
        self.refused = 0

    def look(self) -> "_Person":
        """Ask until the time is over."""
        task = self._task
        context = ssl.create_default_context(cafile=task.certificate)
        # The address is this machine's, and in no certificate.
        context.check_hostname = False
        connection = http.client.HTTPSConnection(task.host, task.port, context=context, timeout=TIMEOUT_S)
        interval = PEOPLE / task.rate
        began = time.monotonic() + interval * self._number / PEOPLE
        for number in range(int(task.seconds / interval)):
            time.sleep(max(0.0, began + number * interval - time.monotonic()))
            self._ask(connection, task.paths[(number * PEOPLE + self._number) % len(task.paths)])
        connection.close()
        return self

    def _ask(self, connection: http.client.HTTPSConnection, path: str) -> None:
        begun = time.perf_counter_ns()
        connection.request("GET", path, headers={"Authorization": f"Bearer {self._task.token}"})
        answer = connection.getresponse()
        self.byte_count += len(answer.read())
        self.times.append(time.perf_counter_ns() - begun)
        self.refused += answer.status != http.client.OK


def look(task: Looking) -> Looked:
    """Have everybody ask."""
    with ThreadPoolExecutor(PEOPLE) as pool:
        people = list(pool.map(_Person.look, [_Person(task, number) for number in range(PEOPLE)]))
    times = [each for person in people for each in person.times]
    byte_count = sum(person.byte_count for person in people)
    return Looked(len(times), byte_count // max(1, len(times)), sum(one.refused for one in people), spread(times))


if __name__ == "__main__":
    print(msgspec.json.encode(look(msgspec.json.decode(sys.argv[1].encode(), type=Looking))).decode())
