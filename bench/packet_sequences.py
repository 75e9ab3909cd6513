"""The packet sequences of the Mosquitto project: its files read into steps, in the notation they are written in.

Only the format is known here; the sequences come from a checkout of that project.
"""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import msgspec

from bench.children import BenchError

FOLDER = Path("test/broker/data")
"""Where a checkout has the files."""
VERSIONS = {3: "3.1", 4: "3.1.1", 5: "5"}

_TOKEN = re.compile(r"'[^']*'|\S+")
_WIDTHS = {"i": 1, "H": 2, "k": 2, "m": 2, "s": 2, "L": 4}


class Action(Enum):
    """What one step of a sequence does."""

    SEND = "send"
    RECEIVE = "recv"
    PUBLISH = "external_publish"
    """Another client publishes, and has been acknowledged when the step ends."""


class Publication(msgspec.Struct, frozen=True):
    """What the other client publishes."""

    topic: str
    payload: str
    qos: int
    retain: bool = False


class Step(msgspec.Struct, frozen=True):
    """One step of a sequence: bytes that are sent or expected, or a publication of another client."""

    action: Action
    data: bytes = b""
    publication: Publication | None = None
    comment: str = ""


class PacketSequence(msgspec.Struct, frozen=True):
    """One test: what a client sends, what must come back, and whether the connection is closed in the end."""

    file: str
    name: str
    version: int
    """The protocol level of CONNECT: 3, 4 or 5."""
    connects_first: bool
    """Whether a plain CONNECT and CONNACK come before the steps."""
    ends_closed: bool
    """Whether the broker must close the connection, and send nothing more; otherwise it must answer a PINGREQ."""
    steps: tuple[Step, ...]

    @property
    def is_refusal(self) -> bool:
        """Whether the broker refuses the only thing that is sent, so that the test leaves nothing behind for others."""
        return (
            self.connects_first
            and self.ends_closed
            and [step.action for step in self.steps[:1]] == [Action.SEND]
            and all(step.action is Action.RECEIVE for step in self.steps[1:])
        )


class _Message(msgspec.Struct, frozen=True):
    type: str
    payload: str
    comment: str = ""
    topic: str = ""
    qos: int = 0
    retain: bool = False


class _Test(msgspec.Struct, frozen=True):
    name: str
    msgs: list[_Message]
    ver: int | None = None
    connect: bool | None = None
    expect_disconnect: bool | None = None


class _Group(msgspec.Struct, frozen=True):
    group: str
    tests: list[_Test]
    ver: int = 4
    connect: bool = True
    expect_disconnect: bool = True
    disable: bool = False


def read(checkout: Path) -> list[PacketSequence]:
    """Every sequence of a checkout, in the order of its files; raises `BenchError` when there is none or one is new."""
    files = sorted((checkout / FOLDER).glob("*.json"))
    if not files:
        raise BenchError(f"{checkout} has no {FOLDER}/*.json: is it a checkout of the Eclipse Mosquitto project?")
    return [sequence for file in files for sequence in _sequences(file)]


def decode(notation: str) -> bytes:
    """The bytes that a line of such a file stands for.

    Words are hexadecimal unless they start with a letter for a decimal number of one byte (`i`), two (`H`, `k`, `m`,
    `s`), four (`L`) or variable length (`r`, `v`), or are text in single quotes. Raises `BenchError` for others.
    """
    return b"".join(_word(word) for word in _TOKEN.findall(notation))


def variable_length(value: int) -> bytes:
    """Seven bits a byte, the lowest first; five bytes and more too, which no valid packet has."""
    encoded = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)


def _word(word: str) -> bytes:
    kind, rest = word[0], word[1:]
    try:
        if kind == "'":
            return rest.removesuffix("'").encode()
        if kind in _WIDTHS:
            return int(rest).to_bytes(_WIDTHS[kind])
        if kind in "rv":
            return variable_length(int(rest))
        return bytes.fromhex(word)
    except (ValueError, OverflowError) as error:
        raise BenchError(f"{word!r} is not a word of the sequence notation: {error}") from error


def _sequences(file: Path) -> Iterator[PacketSequence]:
    try:
        groups = msgspec.json.decode(file.read_bytes(), type=list[_Group])
    except msgspec.DecodeError as error:
        raise BenchError(f"{file} is not written as expected: {error}") from error
    for group in groups:
        for test in group.tests if not group.disable else ():
            yield PacketSequence(
                file=file.name,
                name=" ".join(f"{group.group}: {test.name}".split()),
                version=group.ver if test.ver is None else test.ver,
                connects_first=group.connect if test.connect is None else test.connect,
                ends_closed=group.expect_disconnect if test.expect_disconnect is None else test.expect_disconnect,
                steps=tuple(_step(message, file) for message in test.msgs),
            )


def _step(message: _Message, file: Path) -> Step:
    try:
        action = Action(message.type)
    except ValueError:
        raise BenchError(f"{file} has a kind of step that is not known here: {message.type}") from None
    if action is Action.PUBLISH:
        publication = Publication(message.topic, message.payload, message.qos, message.retain)
        return Step(action, publication=publication, comment=message.comment)
    return Step(action, decode(message.payload), comment=message.comment)
