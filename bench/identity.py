"""What a decision of the policy engine costs: remembered, and made anew; then what issuing certificates costs.

Run as `python -m bench.identity SECONDS`, prints `Decided` as JSON: a process of its own, so that nothing else counts.
"""

import importlib.util
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from appliance.policies.book import PolicyBook
from appliance.policies.document import read
from appliance.policies.model import Action, KeptPolicy, Policy
from appliance.registry.model import Device, DeviceState
from bench.children import SERVER_CORE, pinned, python, run
from bench.comparison import at_most, plain, text

DEVICES = 1_000
CACHED_TARGET_US = 3.0
SLICE = 200

AWS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": ["iot:Publish", "iot:Receive"],
            "Resource": ["arn:aws:iot:*:*:topic/lab/${iot:Connection.Thing.ThingName}/*"],
        },
        {
            "Effect": "Allow",
            "Action": "iot:Subscribe",
            "Resource": ["arn:aws:iot:*:*:topicfilter/lab/${iot:Connection.Thing.ThingName}/*"],
        },
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/lab/*/secret"},
    ],
}


class Decided(msgspec.Struct, frozen=True):
    """Microseconds for a decision."""

    cached_us: float
    topic_us: float
    """A new topic of a device whose policy is compiled."""
    compiled_us: float
    """The first topic of a device: its policy is compiled for it."""
    filter_us: float
    """A new topic filter with wildcards, allowed by the default table."""
    aws_filter_us: float
    """A new topic filter with wildcards, allowed by a policy of AWS with stars."""


def measure(folder: Path, *, quick: bool) -> str:
    """Decide, then issue where there is something to issue with; gives the tables. `quick` is a fraction of it."""
    printed = run(pinned(python("bench.identity", "0.1" if quick else "1"), SERVER_CORE))
    tables = [_table(msgspec.json.decode(printed.encode(), type=Decided))]
    if importlib.util.find_spec("bench.issuing") is not None:
        issuing = importlib.import_module("bench.issuing")
        tables.append(issuing.measure(folder, quick=quick))
    return "\n\n".join(tables)


def decided(seconds: float) -> Decided:
    """Measure each kind of decision for so long."""
    book = _book()
    devices = [_device(number) for number in range(DEVICES)]
    topics = [f"sensors/{device.device_id}/telemetry" for device in devices]
    pairs = list(zip(devices, topics, strict=True))
    for device, topic in pairs:
        book.refusal(device, Action.PUBLISH, topic)

    def cached(_: int) -> None:
        for device, topic in pairs[:SLICE]:
            book.refusal(device, Action.PUBLISH, topic)

    def anew(action: Action, pattern: str) -> Callable[[int], None]:
        device = devices[0]
        wish = pattern.replace("{id}", device.device_id)

        def ask(turn: int) -> None:
            for number in range(SLICE):
                book.refusal(device, action, wish.replace("{n}", f"{turn}-{number}"))

        return ask

    def compiled(turn: int) -> None:
        for number in range(SLICE):
            fresh = _device(turn * SLICE + number + DEVICES)
            book.refusal(fresh, Action.PUBLISH, f"sensors/{fresh.device_id}/telemetry")

    return Decided(
        _cost(cached, seconds),
        _cost(anew(Action.PUBLISH, "sensors/{id}/{n}"), seconds),
        _cost(compiled, seconds),
        _cost(anew(Action.SUBSCRIBE, "cmd/{id}/+/{n}"), seconds),
        _cost(anew(Action.SUBSCRIBE, "lab/{id}/+/{n}"), seconds),
    )


def _book() -> PolicyBook:
    book = PolicyBook()
    book.put(KeptPolicy(1, Policy("aws", read(AWS), ("pump",)), 0))
    return book


def _device(number: int) -> Device:
    return Device(1, f"pump-{number:06}", "", "pump", "", "", DeviceState.ACTIVE, 0, number)


def _cost(decide: Callable[[int], None], seconds: float) -> float:
    """Processor time of one decision, in microseconds."""
    turns = 0
    began = time.process_time_ns()
    ends = began + int(seconds * 1e9)
    while (now := time.process_time_ns()) < ends or not turns:
        decide(turns)
        turns += 1
    return (now - began) / turns / SLICE / 1e3


def _table(seen: Decided) -> str:
    return "May this device …? The default table and a policy of AWS with a denial\n\n" + text(
        [
            at_most("decision, remembered", [f"{seen.cached_us:.2f} µs"], seen.cached_us, CACHED_TARGET_US, "µs"),
            plain("decision, a new topic", f"{seen.topic_us:.1f} µs"),
            plain("decision, the first of a device", f"{seen.compiled_us:.1f} µs"),
            plain("decision, a new filter with wildcards", f"{seen.filter_us:.1f} µs"),
            plain("… that a policy of AWS with stars decides", f"{seen.aws_filter_us:.1f} µs"),
        ]
    )


if __name__ == "__main__":
    print(msgspec.json.encode(decided(float(sys.argv[1]))).decode())
