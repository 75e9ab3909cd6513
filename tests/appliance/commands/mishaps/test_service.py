"""What failed together is tried one by one, and who works for ever goes on."""

import sqlite3

import pytest

from appliance.commands.mishaps.service import Mishap, fails, failures
from appliance.store.database import Afterwards, UnwritableError, Work, nothing_left
from tests.appliance.commands.room import Hall


def _work_of(text: str) -> Work:
    def work(connection: sqlite3.Connection, _now: int) -> Afterwards:
        connection.execute("UPDATE device SET notes = notes || ? WHERE tenant_id = 1", (text,))
        if text == "full":
            raise UnwritableError("full")
        if text == "b":
            raise ValueError("the words of a device")
        return nothing_left

    return work


async def test_each_is_tried_alone_and_nothing_stays_of_those_that_fail(hall: Hall) -> None:
    [(item, error)] = await failures(hall.together, ["a", "b", "c"], _work_of)
    assert (item, type(error)) == ("b", ValueError)
    assert await hall.database.write(_notes) == [("ac",)]
    assert await fails(hall.together, _work_of("b"))
    assert not await fails(hall.together, _work_of("d"))
    with pytest.raises(UnwritableError):
        await failures(hall.together, ["e", "full", "f"], _work_of)


def test_a_mishap_is_told_once_and_without_the_words_of_the_error(caplog: pytest.LogCaptureFixture) -> None:
    mishap = Mishap("blinking")
    for _ in range(2):
        with mishap.tried():
            _fail("SECRET".lower())
        assert mishap.trouble == "blinking failed (ValueError)"
    [record] = caplog.records
    assert "_fail" in record.getMessage()
    assert "secret" not in caplog.text
    with mishap.tried():
        pass
    assert mishap.trouble == ""
    with mishap.tried(), mishap.noted():
        raise KeyError("words")
    assert mishap.trouble == "blinking failed (KeyError)"
    with pytest.raises(UnwritableError), mishap.tried():
        raise UnwritableError("full")


def _fail(words: str) -> None:
    raise ValueError(words)


def _notes(connection: sqlite3.Connection) -> list[tuple[str]]:
    return connection.execute("SELECT notes FROM device WHERE tenant_id = 1").fetchall()
