"""A gateway is killed with a log full of what is in no day file yet: the next ones know all of it, each reading once.

How fast that goes, with ten minutes of 2,000 events a second, is what `./headworks bench faults` measures.
"""

import json
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import read_day

from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS, from_text
from tests.flows.running import Device, RunningGateway, running
from tests.flows.test_metrics import figures

pytestmark = pytest.mark.timeout(240)

DEVICES = tuple(f"pump-{number}" for number in range(4))
MESSAGES = 2_600
"""Of each device."""
AGAIN = 100
"""So many of the last ones are sent once more after the death, as by a device that did not hear the answer."""
COUNT = len(DEVICES) * MESSAGES
WAIT_S = 60
ALL_IN_MEMORY = """
[telemetry]
seal_after_ms = 3600000
seal_after_reports = 100000
[ingestion]
batch_messages = 20
"""
"""Batches are small, so that there are more of them than a start reads at once."""
READ_AT_ONCE = 256
SEALED_SOON = "[telemetry]\nseal_after_ms = 1\n"
VALUES = (1, -0.5, 2**60, "open", True, None)

Messages = list[tuple[int, int, str]]
"""Sequence number, moment, and value as JSON writes it, in the order of time."""
Stored = dict[str, Messages]
"""By device."""


def test_a_log_of_ten_thousand_events_is_taken_up_whole_and_once(tmp_path: Path) -> None:
    first_at = time.time_ns() // 1_000_000 // SECOND_MS * SECOND_MS - HOUR_MS
    sent = {device: list(_messages(place, first_at)) for place, device in enumerate(DEVICES)}
    with running(tmp_path, ALL_IN_MEMORY) as gateway:
        bundles = {device: gateway.add_device(device) for device in DEVICES}
        token = gateway.token()
        _publish(gateway, bundles, sent)
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    messages, commits = _logged(tmp_path)
    assert messages == COUNT
    assert commits > READ_AT_ONCE
    assert _in_day_files(tmp_path) == 0
    with running(tmp_path, ALL_IN_MEMORY) as gateway:
        assert _unsealed(gateway, token) == COUNT
        assert _stored(gateway, token) == sent
        _publish(gateway, bundles, {device: messages[-AGAIN:] for device, messages in sent.items()})
        assert _stored(gateway, token) == sent
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    assert _logged(tmp_path)[0] >= COUNT
    with running(tmp_path, SEALED_SOON) as gateway:
        deadline = time.monotonic() + WAIT_S
        while _unsealed(gateway, token):
            assert time.monotonic() < deadline
            threading.Event().wait(0.1)
        assert _stored(gateway, token) == sent
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    assert _in_day_files(tmp_path) == COUNT
    with running(tmp_path) as gateway:
        assert _unsealed(gateway, token) == 0
        assert _stored(gateway, token) == sent


def _messages(place: int, first_at: int) -> Iterator[tuple[int, int, str]]:
    """What a device sends, second after second: some measured it days ago."""
    for number in range(MESSAGES):
        at = first_at - place * DAY_MS + number * SECOND_MS
        yield number, at, json.dumps(VALUES[number % len(VALUES)] if number % 7 else number / 8)


def _publish(gateway: RunningGateway, bundles: dict[str, Path], sent: Stored) -> None:
    """Publish side by side, and wait until all of it was acknowledged."""
    with ThreadPoolExecutor(len(sent)) as crowd:
        list(crowd.map(lambda each: _publish_of(gateway, each[0], bundles[each[0]], each[1]), sent.items()))


def _publish_of(gateway: RunningGateway, device_id: str, bundle: Path, messages: Messages) -> None:
    device = Device(gateway, device_id, bundle).wait_connected()
    for number, at, value in messages:
        device.publish(f'{{"timestamp": {at}, "sequence": {number}, "readings": {{"n": {value}}}}}'.encode())
    device.wait_acknowledged(len(messages), 120)
    device.close()


def _stored(gateway: RunningGateway, token: str) -> Stored:
    path = f"/v1/telemetry/export?format=json&start=0&end={time.time_ns() // 1_000_000}"
    found: Stored = {device: [] for device in DEVICES}
    for row in gateway.get(path, token):
        at = from_text(row["at"])
        found[row["device_id"]].append((row["sequence"], at, json.dumps(row["values"]["n"])))
    return found


def _unsealed(gateway: RunningGateway, token: str) -> float:
    return figures(gateway, token)["headworks_telemetry_unsealed_reports"].value()


def _logged(folder: Path) -> tuple[int, int]:
    """How many messages the log holds, and in how many commits."""
    with closing(sqlite3.connect(f"{(folder / 'data/gateway.db').as_uri()}?mode=ro", uri=True)) as database:
        messages, commits = database.execute("SELECT sum(message_count), count(*) FROM log").fetchone()
        return messages, commits


def _in_day_files(folder: Path) -> int:
    paths = sorted((folder / "data/days").glob("????-??-??.*"))
    return sum(1 for _ in read_day.read(paths, pytest.fail))
