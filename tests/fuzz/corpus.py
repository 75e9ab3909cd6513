"""The inputs that a search begins with, and those that once found a fault: text files, one input each.

A line is hexadecimal digits, and `#` begins a comment. In the corpus of scripts a line is one step: who says
something, as a number, and what, in hexadecimal digits.
"""

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.fuzz.mutation import step, steps_of

FOLDER = Path(__file__).parent / "seeds"


def read_bytes(name: str) -> list[bytes]:
    """Every input of a folder, in the order of the names of its files."""
    return [bytes.fromhex(" ".join(_lines(path))) for path in _files(name)]


def read_scripts(name: str) -> list[bytes]:
    """Every script of a folder."""
    return [b"".join(map(_step, _lines(path))) for path in _files(name)]


def read_texts(name: str) -> list[bytes]:
    """Every file of a folder as it is, without the end of its last line."""
    return [path.read_bytes().rstrip(b"\n") for path in _files(name)]


def write_bytes(data: bytes) -> str:
    """Of an input, what stands in its file."""
    return "\n".join(data[at : at + 32].hex(" ") for at in range(0, len(data), 32)) + "\n"


def write_script(data: bytes) -> str:
    """Of a script, what stands in its file."""
    return "".join(f"{who} {what.hex(' ')}\n" for who, what in steps_of(data))


def keep(name: str, data: bytes, written: Callable[[bytes], str], why: Iterable[str]) -> Path:
    """Keep an input that found a fault, with what it found as a comment."""
    path = FOLDER / name / f"found-{zlib.crc32(data):08x}.txt"
    path.write_text("".join(f"# {line}\n" for line in why) + written(data), encoding="utf-8")
    return path


def _files(name: str) -> list[Path]:
    return sorted((FOLDER / name).glob("*.txt"))


def _lines(path: Path) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line]


def _step(line: str) -> bytes:
    who, _, what = line.partition(" ")
    return step(int(who), bytes.fromhex(what))
