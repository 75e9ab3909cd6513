"""What a dialect is: how a command is put to a device, and how the device's answer is read."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import msgspec

from appliance.commands.model import Command, DialectName, State
from appliance.commands.ruling import INVALID, Refusal, Report
from broker.packets import NO_PROPERTIES, Properties

REASON_CODE_LENGTH = 64
REASON_LENGTH = 1_024
RESULT_BYTES = 32_768

_TOLD = {
    state.value: state for state in (State.IN_PROGRESS, State.SUCCEEDED, State.FAILED, State.REJECTED, State.TIMED_OUT)
}


class Wire(NamedTuple):
    """A message to a device."""

    topic: str
    payload: bytes
    properties: Properties = NO_PROPERTIES


class Address(NamedTuple):
    """What the topic of a response says."""

    dialect: DialectName
    device_id: str
    wire_id: str
    base: str
    """The topic up to the execution id."""
    form: str
    """The last level, where it says how the payload is written: `json`, `cbor`, or nothing."""


class Cbor(NamedTuple):
    """How CBOR is written and read."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    """Raises `InvalidInputError`."""


class Wanted(Protocol):
    """Tells which topics a device wants."""

    def __call__(self, topic: str) -> bool:
        """Whether it wants this one."""

    def reaches(self, beginning: str) -> bool:
        """Whether it may want one that begins so."""


class Dialect(Protocol):
    """One way to speak with devices about commands."""

    @property
    def name(self) -> DialectName:
        """By which it is chosen."""

    def wire(self, command: Command, wants: Wanted) -> Wire | None:
        """The request to a device that `wants` some topics; None where it wants none of this dialect."""


class Answered(Dialect, Protocol):
    """A dialect in which devices answer for the command itself, on topics of its own."""

    def address(self, topic: str) -> Address | None:
        """What a topic says, if it is one of a response."""

    def report(self, address: Address, payload: bytes) -> Report | Refusal:
        """What a device tells of an execution."""

    def reply(self, address: Address, refusal: Refusal | None) -> Wire | None:
        """What the device is told of its response; None where this dialect has no such answer."""


def state_of(word: object) -> State | None:
    """The state that a device means by a word, in capitals or not."""
    return _TOLD.get(word.lower()) if isinstance(word, str) else None


def report_of(state: State, code: object, reason: object, result: object) -> Report | Refusal:
    """A report within its bounds."""
    if not isinstance(code, str) or not isinstance(reason, str):
        return Refusal(INVALID, "the reason is no text")
    if len(code) > REASON_CODE_LENGTH or len(reason) > REASON_LENGTH:
        return Refusal(
            INVALID, f"a reason code has at most {REASON_CODE_LENGTH} characters, a reason {REASON_LENGTH:,}"
        )
    written = None if result is None else msgspec.json.encode(result).decode()
    if written is not None and len(written) > RESULT_BYTES:
        return Refusal(INVALID, f"a result has at most {RESULT_BYTES:,} bytes")
    return Report(state, code, reason, written)
