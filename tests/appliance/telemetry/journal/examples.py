"""Messages for tests of the journal: examples, and every kind that can be."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from appliance.telemetry.journal import files, frames
from appliance.telemetry.journal.model import RawMessage, Segment
from appliance.telemetry.keeping.model import Erasure
from broker.message import Message
from broker.packets import Properties
from tests.appliance.telemetry.reports import NOON

texts = st.text(max_size=8)
raw_messages = st.builds(
    RawMessage,
    tenant_id=st.integers(1, 3),
    principal=texts | st.sampled_from("ab"),
    client_id=texts,
    topic=texts | st.sampled_from(["sensors/a/telemetry", "sensors/b/status"]),
    payload=st.binary(max_size=40),
    content_type=texts,
    qos=st.integers(0, 2),
    retain=st.booleans(),
    arrived_at=st.integers(NOON, NOON + 50),
    log_id=st.integers(0, 2**62),
)


def raw(principal: str = "a", payload: bytes = b"{}", **changes: Any) -> RawMessage:
    """A message as the journal keeps it."""
    fields: dict[str, Any] = {
        "tenant_id": 1,
        "principal": principal,
        "client_id": principal,
        "topic": f"sensors/{principal}/telemetry",
        "payload": payload,
        "content_type": "",
        "qos": 1,
        "retain": False,
        "arrived_at": NOON,
        "log_id": 7,
    }
    return RawMessage(**fields | changes)


def erasure(device_id: str, through: int, asked_at: int = 0) -> Erasure:
    """A device that somebody of the first tenant asked to have erased."""
    return Erasure(1, 1, device_id, through, asked_at)


def going_on() -> bool:
    """Nothing stops."""
    return False


def message(payload: bytes, arrived_at: int = NOON, principal: str = "a", **changes: Any) -> Message:
    """A message as the broker hands it over."""
    fields: dict[str, Any] = {
        "tenant_id": 1,
        "principal": principal,
        "client_id": principal,
        "topic": f"sensors/{principal}/telemetry",
        "payload": payload,
        "qos": 1,
        "retain": False,
        "arrived_at": arrived_at,
        "properties": Properties(content_type="application/json"),
    }
    return Message(**fields | changes)


def read(folder: Path, segment: Segment) -> list[RawMessage]:
    """Every message of a segment that can be read."""
    with files.path_of(folder, segment.number).open("rb") as source:
        return [each for block in frames.blocks(source) for each in block.messages()]


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Let this process make no file larger than that meanwhile: the system refuses what is beyond."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
