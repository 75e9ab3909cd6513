import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.control import ControlError, ask, serving
from appliance.errors import ConflictError


class Answer(msgspec.Struct, frozen=True):
    """Something that JSON can hold."""

    number: int


async def double(arguments: dict[str, Any]) -> Answer:
    return Answer(2 * msgspec.convert(arguments["number"], int))


async def refuse(_: dict[str, Any]) -> None:
    raise ConflictError("there is one already")


CALLS = {"double": double, "refuse": refuse}


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@contextlib.asynccontextmanager
async def connected(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def answer_to(path: Path, line: bytes) -> bytes:
    async with connected(path) as (reader, writer):
        writer.write(line)
        return await reader.readline()


async def test_a_call_is_answered(path: Path) -> None:
    async with serving(path, CALLS):
        assert await ask(path, "double", {"number": 21}) == {"number": 42}


async def test_calls_at_the_same_time_each_get_their_own_answer(path: Path) -> None:
    async with serving(path, CALLS):
        answers = await asyncio.gather(*(ask(path, "double", {"number": number}) for number in range(20)))
    assert answers == [{"number": 2 * number} for number in range(20)]


async def test_a_refusal_is_told_in_the_gateways_words(path: Path) -> None:
    async with serving(path, CALLS):
        with pytest.raises(ControlError, match=r"^there is one already$"):
            await ask(path, "refuse", {})
        assert await ask(path, "double", {"number": 1}) == {"number": 2}


@pytest.mark.parametrize(
    ("call", "arguments", "message"),
    [
        ("triple", {}, "no call is named 'triple'"),
        ("double", {}, "double: wrong arguments: 'number'"),
        ("double", {"number": "x"}, "double: wrong arguments: Expected `int`, got `str`"),
    ],
)
async def test_a_wrong_call_is_answered_with_what_is_wrong(
    path: Path, call: str, arguments: dict[str, Any], message: str
) -> None:
    async with serving(path, CALLS):
        with pytest.raises(ControlError, match=message):
            await ask(path, call, arguments)


@pytest.mark.parametrize("line", [b"\n", b"hello\n", b"[1]\n", b'{"call": 7}\n', b"\xff\n"])
async def test_what_is_no_call_is_answered_and_the_next_caller_is_served(path: Path, line: bytes) -> None:
    async with serving(path, CALLS):
        assert b"not a call" in await answer_to(path, line)
        assert await ask(path, "double", {"number": 1}) == {"number": 2}


async def test_a_caller_that_leaves_without_a_word_disturbs_nobody(path: Path) -> None:
    async with serving(path, CALLS):
        async with connected(path):
            pass
        assert await ask(path, "double", {"number": 1}) == {"number": 2}


async def test_a_caller_that_says_nothing_is_sent_away(path: Path) -> None:
    async with serving(path, CALLS, patience_s=0.0), connected(path) as (reader, _):
        assert await reader.read() == b""


async def test_only_the_gateways_own_user_may_open_the_socket(path: Path) -> None:
    async with serving(path, CALLS):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_socket_goes_when_the_gateway_stops_and_one_left_behind_is_replaced(path: Path) -> None:
    path.touch()
    async with serving(path, CALLS):
        assert await ask(path, "double", {"number": 1}) == {"number": 2}
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        await ask(path, "double", {"number": 1})


async def test_a_gateway_that_ends_in_the_middle_of_a_call_is_told_as_such(path: Path) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async with await asyncio.start_unix_server(hang_up, path):
        with pytest.raises(ControlError, match="before it had answered"):
            await ask(path, "double", {"number": 1})


async def test_a_call_may_be_as_long_as_the_bundles_of_a_fleet(path: Path) -> None:
    async def repeat(arguments: dict[str, Any]) -> str:
        return str(arguments["text"])

    text = "x" * 3_000_000
    async with serving(path, {"repeat": repeat}):
        assert await ask(path, "repeat", {"text": text}) == text


async def test_a_folder_may_lie_deeper_than_the_address_of_a_socket_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 40) / "control.sock"
    deep.parent.mkdir()
    assert len(str(deep)) > 107
    async with serving(deep, CALLS):
        assert await ask(deep, "double", {"number": 21}) == {"number": 42}
    assert not deep.exists()
