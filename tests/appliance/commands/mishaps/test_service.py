"""What failed together is tried one by one, and who works for ever goes on."""

import sqlite3
from collections.abc import Sequence

import pytest

from appliance.commands.mishaps import service
from appliance.commands.mishaps.service import BEFORE_ALL, Aside, Key, Later, Mishap, done, fails, failures
from appliance.errors import InvalidInputError, UnavailableError, kind_of
from appliance.store.database import Afterwards, UnwritableError, Work, nothing_left
from tests.appliance.commands.room import Hall, until


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


class Stubborn(Aside):
    """What it holds cannot be set aside, until it can."""

    def __init__(self, hall: Hall) -> None:
        super().__init__("stone")
        self.together = hall.together
        self.is_stuck = True
        self.tries: list[Key] = []

    def ways(self, key: Key, reason: str) -> Sequence[Work]:
        def work(_connection: sqlite3.Connection, _now: int) -> Afterwards:
            self.tries.append(key)
            if self.is_stuck:
                raise ValueError(reason)
            return nothing_left

        return [work]


async def test_what_cannot_be_set_aside_is_told_once_and_left_alone_for_a_while(
    hall: Hall, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = Stubborn(hall)
    asked: list[Key] = []

    def work_of(key: Key) -> Work:
        asked.append(key)
        return _work_of("b")

    for _ in range(3):
        assert not await aside.sort_out([(1, 7)], work_of)
        assert not await aside.put((1, 7), ValueError())
    assert (asked, aside.tries) == ([(1, 7)], [(1, 7)])
    assert caplog.text.count("stone not set aside") == 1
    # Later it is tried once more; that is no news.
    monkeypatch.setattr(service, "LEFT_S", -1.0)
    monkeypatch.setattr(service, "LEFT_LIMIT", 2)
    for number in (8, 9):
        assert not await aside.put((1, number), ValueError())
    told = len(caplog.records)
    assert not await aside.put((1, 9), ValueError())
    assert len(caplog.records) == told
    assert set(aside._left) == {(1, 8), (1, 9)}
    aside.is_stuck = False
    assert await aside.sort_out([(1, 9)], work_of)
    assert set(aside._left) == {(1, 8)}


async def test_what_did_not_go_on_is_tried_a_little_later_and_once() -> None:
    tried: list[str] = []
    later = Later(0.0, tried.append)
    for item in "aab":
        later.add(item)
    assert tried == []
    await until(lambda: bool(tried))
    assert sorted(tried) == ["a", "b"]
    later.add("a")
    await until(lambda: len(tried) == 3)


async def test_what_is_asked_for_is_done_after_a_remedy_or_refused(hall: Hall) -> None:
    told: list[str] = []

    def work(_connection: sqlite3.Connection, _now: int) -> Afterwards:
        if told != ["ValueError", "ValueError"]:
            raise ValueError
        return nothing_left

    async def remedy(error: Exception) -> None:
        told.append(kind_of(error))

    with pytest.raises(UnavailableError, match="its log says where"):
        await done(hall.together, work, remedy)
    await done(hall.together, work, remedy)
    assert told == ["ValueError"] * 2

    def refused(_connection: sqlite3.Connection, _now: int) -> Afterwards:
        raise InvalidInputError("no")

    with pytest.raises(InvalidInputError):
        await done(hall.together, refused, remedy)
    assert told == ["ValueError"] * 2


async def test_slices_follow_each_other_past_what_cannot_be_set_aside_and_begin_anew(hall: Hall) -> None:
    aside, asked = Stubborn(hall), list[Key]()

    def work_of(key: Key) -> Work:
        asked.append(key)
        return _work_of("b")

    assert not await aside.go_through([(5, (1, 7)), (5, (1, 9))], 2, work_of)
    assert (aside.behind, aside.has_more) == ((5, 9), True)
    assert not await aside.go_through([(6, (1, 8))], 2, work_of)
    assert (aside.behind, aside.has_more) == (BEFORE_ALL, False)
    assert asked == [(1, 7), (1, 9), (1, 8)]


async def test_what_is_mended_for_one_lets_all_others_go_on_that_it_kept_from_it(hall: Hall) -> None:
    is_mended = False

    class Mending(Stubborn):
        async def mend(self, key: Key) -> bool:
            nonlocal is_mended
            was_mended, is_mended = is_mended, True
            return key == (1, 7) and not was_mended

    aside, asked = Mending(hall), list[Key]()

    def work_of(key: Key) -> Work:
        asked.append(key)
        return _work_of("a" if is_mended and key != (1, 9) else "b")

    keys = [(1, 7), (1, 8), (1, 9)]
    assert not await aside.sort_out(keys, work_of)
    assert (asked, aside.tries) == (keys * 2, [(1, 9)])
