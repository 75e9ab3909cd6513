import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from appliance.plane_settings import ShadowsConfig
from appliance.shadows import pack
from appliance.shadows.model import BeforeHistoryError, Verb
from appliance.shadows.packing.service import PACKED_EVERY, PIECE_CHANGES
from tests.appliance.shadows.room import TENANT, Room, opened, request

DAY_S = 86_400
EVERY_S = 10


def chances() -> random.Random:
    """The same ones each time."""
    return random.Random(7)  # noqa: S311  nothing is kept secret with it


def reading(number: int, chance: random.Random) -> dict[str, Any]:
    """What a usual device reports: about 200 bytes."""
    told: dict[str, Any] = {f"metric_{n}": round(50 + n + chance.gauss(0, 5), 2) for n in range(6)}
    return {"reported": {**told, "uptime_s": number * EVERY_S, "mode": "automatic", "rssi": chance.randint(-70, -50)}}


def damage(connection: sqlite3.Connection, column: str, version: int) -> None:
    """Spoil what is kept of one version."""
    connection.execute(f"UPDATE shadow_change SET {column} = '~' WHERE version = ?", (version,))


def spoil(connection: sqlite3.Connection, column: str, version: int, written: bytes) -> None:
    """The same with bytes, which may be no text."""
    connection.execute(f"UPDATE shadow_change SET {column} = CAST(? AS TEXT) WHERE version = ?", (written, version))


def make_bytes(path: Path, column: str, author: bytes = b"user maria") -> None:
    """Flip one bit of a closed file: what a row says of a text is then that it is bytes."""
    data = bytearray(path.read_bytes())
    # The header of a record tells the kind and the length of each value, and what follows it are the values.
    author_kind, kind_kind = 13 + 2 * len(author), 13 + 2 * len(b"updated")
    place = data.index(bytes([author_kind, kind_kind]), data.index(author + b"updated") - 32)
    data[place + (column == "kind")] ^= 1
    path.write_bytes(data)


async def check_totals(room: Room) -> None:
    """What is counted is what is there."""
    assert room.on_disk("SELECT COALESCE(SUM(byte_count), 0) FROM shadow_change") == room.on_disk(
        "SELECT byte_count FROM shadow_total"
    )


@pytest.mark.timeout(120)
async def test_a_day_of_a_device_that_reports_every_ten_seconds_is_kept_whole(tmp_path: Path) -> None:
    chance, at_once = chances(), 20
    async with opened(tmp_path) as room:
        states = {}
        for first in range(0, DAY_S // EVERY_S, at_once):
            room.now += EVERY_S * 1_000 * at_once
            said = [reading(number, chance) for number in range(first, first + at_once)]
            assert 180 < len(json.dumps({"state": said[0]})) < 240
            await room.publish(*[request("update", {"state": each}) for each in said])
            states[room.now] = said[-1]["reported"]
        for at in (min(states), *chance.sample(sorted(states), 40), max(states)):
            for moment in (at, at + 1):
                then = await room.shadows.as_of(TENANT, "pump", "", moment)
                assert then is not None
                assert then.reported == states[at]
        assert await room.shadows.as_of(TENANT, "pump", "", min(states) - 1) is None
        for before in (None, 8_000, 4_321, 65, 30, 2):
            page = await room.shadows.history(TENANT, "pump", "", before, 25)
            newest = 8_640 if before is None else before - 1
            assert [one.version for one in page] == list(range(newest, max(newest - 25, 0), -1))
            assert all(one.author == "device pump" and one.reported == one.patch["reported"] for one in page)
        [(kept,)] = room.on_disk("SELECT SUM(byte_count) FROM shadow_change")
        # docs/reference/shadows.md says how much.
        assert kept < 1_000_000
        await check_totals(room)


async def test_one_shadow_keeps_no_more_than_its_room_and_says_where_its_history_begins(tmp_path: Path) -> None:
    chance = chances()
    async with opened(tmp_path, ShadowsConfig(history_kb=20)) as room:
        begun = room.now
        for number in range(60):
            room.now += 1_000
            await room.publish(*[request("update", {"state": reading(number * 10 + n, chance)}) for n in range(10)])
        [(packed_bytes,)] = room.on_disk("SELECT SUM(byte_count) FROM shadow_change WHERE kind = 'packed'")
        assert 10_000 < packed_bytes < 21_000
        [(loose,)] = room.on_disk("SELECT COUNT(*) FROM shadow_change WHERE kind <> 'packed'")
        assert loose < PACKED_EVERY
        await check_totals(room)
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        oldest = room.on_disk("SELECT MIN(version) FROM shadow_change")[0][0]
        assert [one.version for one in page] == list(range(600, oldest - 1, -1))
        with pytest.raises(BeforeHistoryError, match="begins at"):
            await room.shadows.as_of(TENANT, "pump", "", begun + 1_000)


async def test_no_more_changes_are_kept_than_are_wanted(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=200)) as room:
        for number in range(60):
            await room.publish(*[request("update", {"state": {"reported": {"n": number, "i": n}}}) for n in range(10)])
        count = len(await room.shadows.history(TENANT, "pump", "", None, 1_000))
        assert 200 <= count < 200 + PIECE_CHANGES + PACKED_EVERY
        await check_totals(room)


async def test_a_fleet_in_step_is_not_packed_all_at_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        most = before = 0
        for number in range(2 * PACKED_EVERY):
            await room.publish(
                *[request("update", {"state": {"reported": {"n": number}}}, f"d{n}") for n in range(PACKED_EVERY)]
            )
            [(count,)] = room.on_disk("SELECT COUNT(*) FROM shadow_change WHERE kind = 'packed'")
            most, before = max(most, count - before), count
        assert (most, before) == (1, 2 * PACKED_EVERY)


async def test_where_room_is_tight_those_that_change_most_lose_their_oldest(tmp_path: Path) -> None:
    chance = chances()
    async with opened(tmp_path, ShadowsConfig(history_mb=4)) as room:
        for number in range(5):
            await room.update({"desired": {"target": number}}, "quiet")
        for _ in range(110):
            for device_id in ("d1", "d2", "d3"):
                said = [{"reported": {"blob": chance.randbytes(1_000).hex()}} for _ in range(10)]
                await room.publish(*[request("update", {"state": each}, device_id) for each in said])
        quiet = await room.shadows.history(TENANT, "quiet", "", None, 10)
        assert [one.version for one in quiet] == [5, 4, 3, 2, 1]
        counts = [len(await room.shadows.history(TENANT, name, "", None, 2_000)) for name in ("d1", "d2", "d3")]
        assert min(counts) > 100
        assert sum(counts) < 3 * 1_100
        [(total,)] = room.on_disk("SELECT byte_count FROM shadow_total")
        assert 2_000_000 < total <= 4_000_000
        await check_totals(room)


async def test_what_was_kept_one_by_one_is_packed_with_the_rest(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=90)) as room:
        for number in range(90):
            room.now += 1_000
            await room.update({"reported": {"n": number}})
        assert room.on_disk("SELECT COUNT(*) FROM shadow_change WHERE kind = 'packed'") == [(0,)]
        room.shadows._config = ShadowsConfig()
        begun = room.now - 89_000
        for number in range(90, 90 + PACKED_EVERY):
            room.now += 1_000
            await room.update({"reported": {"n": number}})
        # What was too much for one piece is two.
        rows = room.on_disk("SELECT version, patch FROM shadow_change WHERE kind = 'packed' ORDER BY version")
        assert (rows[0][0], len(rows)) == (1, 2)
        labels = [json.loads(patch) for _, patch in rows]
        assert labels[1]["odometer"] == labels[0]["byte_count"] + labels[1]["byte_count"]
        for number in (0, 1, 40, 63, 64, 100, 121):
            then = await room.shadows.as_of(TENANT, "pump", "", begun + number * 1_000)
            assert then is not None
            assert (then.version, then.reported) == (number + 1, {"n": number})
        await check_totals(room)


async def test_a_deletion_and_what_came_after_it_are_told_from_pieces_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        moments = {}
        for number in range(3 * PACKED_EVERY):
            room.now += 1_000
            if number % 5 == 3:
                await room.ask(Verb.DELETE)
            else:
                await room.update({"desired": {"n": number}})
            moments[number + 1] = room.now
        assert room.on_disk("SELECT COUNT(*) FROM shadow_change WHERE kind = 'packed'") == [(3,)]
        for version, at in moments.items():
            then = await room.shadows.as_of(TENANT, "pump", "", at)
            assert (then and then.desired) == (None if (version - 1) % 5 == 3 else {"n": version - 1})


async def test_behind_a_change_that_is_lost_nothing_is_claimed(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        moments = []
        for number in range(3 * PACKED_EVERY):
            room.now += 1_000
            moments.append(room.now)
            await room.update({"reported": {"n": number}})
        rows = room.on_disk("SELECT version, patch FROM shadow_change WHERE kind = 'packed' ORDER BY version")
        (first, told), (second, _), *_ = rows
        await room.database.write(
            lambda connection: connection.execute(f"DELETE FROM shadow_change WHERE version = {second}")
        )
        newest = json.loads(told)["newest_version"]
        assert first == 1
        then = await room.shadows.as_of(TENANT, "pump", "", moments[newest - 2])
        assert then is not None
        assert then.version == newest - 1
        with pytest.raises(BeforeHistoryError, match="begins at"):
            await room.shadows.as_of(TENANT, "pump", "", moments[newest - 1])


async def test_a_piece_that_is_damaged_ends_the_history_and_keeps_nobody_from_anything(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        moments = []
        for number in range(3 * PACKED_EVERY):
            room.now += 1_000
            moments.append(room.now)
            await room.update({"reported": {"n": number}})
        [_, (second, told), (third, _)] = room.on_disk(
            "SELECT version, patch FROM shadow_change WHERE kind = 'packed' ORDER BY version"
        )
        await room.database.write(damage, "way_back", second)
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in page] == list(range(3 * PACKED_EVERY, third - 1, -1))
        assert await room.shadows.history(TENANT, "pump", "", json.loads(told)["newest_version"], 5) == []
        with pytest.raises(BeforeHistoryError):
            await room.shadows.as_of(TENANT, "pump", "", moments[second])
        first = await room.shadows.as_of(TENANT, "pump", "", moments[2])
        assert first is not None
        assert first.reported == {"n": 2}
        # The label is what the next piece goes on from.
        await room.database.write(damage, "patch", third)
        for number in range(2 * PACKED_EVERY):
            assert (await room.update({"reported": {"n": -number}}))["version"] == 3 * PACKED_EVERY + number + 1
        await check_totals(room)
        [(loose,)] = room.on_disk("SELECT COUNT(*) FROM shadow_change WHERE kind <> 'packed'")
        assert loose < PACKED_EVERY


async def test_a_piece_says_what_is_in_it(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.publish(*[request("update", {"state": {"reported": {"n": n}}}) for n in range(PACKED_EVERY)])
        [row] = room.on_disk(
            "SELECT version, at, author, kind, patch, way_back FROM shadow_change WHERE kind = 'packed'"
        )
        stored = pack.StoredChange(*row)
        label = pack.label(stored)
        assert (stored.author, label.byte_count, label.newest_at) == ("", len(stored.way_back), room.now)
        assert [one.version for one in pack.changes(stored)] == list(range(label.newest_version, 0, -1))


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ("patch", b'{"reported":{"n":"\xe1"}}'),
        ("patch", b"["),
        ("way_back", b'{"state":{"\xe1":1},"metadata":{},"is_there":true}'),
        ("author", b"device p\xf5mp"),
        ("kind", b"\xf5pdated"),
    ],
)
async def test_a_change_that_is_damaged_is_not_packed_and_keeps_nobody_from_anything(
    tmp_path: Path, column: str, written: bytes
) -> None:
    async with opened(tmp_path) as room:
        moments = []
        for number in range(PACKED_EVERY // 2):
            room.now += 1_000
            moments.append(room.now)
            await room.update({"reported": {"n": number}})
        await room.database.write(spoil, column, 5, written)
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in page] == list(range(PACKED_EVERY // 2, 5, -1))
        for number in range(PACKED_EVERY // 2, 5 * PACKED_EVERY):
            room.now += 1_000
            assert (await room.update({"reported": {"n": number}}))["version"] == number + 1
        assert room.on_disk("SELECT COUNT(*) FROM shadow_change WHERE kind = 'packed'") != [(0,)]
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in page] == list(range(5 * PACKED_EVERY, 5, -1))
        assert all(one.reported == {"n": one.version - 1} for one in page)
        # What was asked for is not needed to know what was.
        for version in (3, 5) if column != "patch" else ():
            with pytest.raises(BeforeHistoryError):
                await room.shadows.as_of(TENANT, "pump", "", moments[version - 1])
        await check_totals(room)


@pytest.mark.parametrize("column", ["patch", "way_back"])
async def test_a_piece_whose_bytes_are_no_text_is_one_that_is_damaged(tmp_path: Path, column: str) -> None:
    async with opened(tmp_path) as room:
        for number in range(3 * PACKED_EVERY):
            await room.update({"reported": {"n": number}})
        [_, (second,), (third,)] = room.on_disk(
            "SELECT version FROM shadow_change WHERE kind = 'packed' ORDER BY version"
        )
        await room.database.write(spoil, column, second, b"\xe1")
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in page][-1] <= third
        assert await room.shadows.history(TENANT, "pump", "", second + 2, 5) == []
        await room.database.write(spoil, "patch", third, b"\xe1")
        for number in range(2 * PACKED_EVERY):
            assert (await room.update({"reported": {"n": -number}}))["version"] == 3 * PACKED_EVERY + number + 1
        await check_totals(room)


@pytest.mark.parametrize("history_changes", [97, 2 * PIECE_CHANGES])
async def test_a_burst_larger_than_what_is_kept_is_not_packed_with_what_was_long_before(
    tmp_path: Path, history_changes: int
) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=history_changes)) as room:
        moments = []
        for number in range(20):
            room.now += 1_000
            moments.append(room.now)
            await room.update({"reported": {"n": number, f"k{number}": 1}})
        room.now += 1_000
        await room.publish(*[request("update", {"state": {"reported": {"n": 20 + n}}}) for n in range(300)])
        pieces = room.on_disk("SELECT version, patch FROM shadow_change WHERE kind = 'packed'")
        assert all(version > 320 - history_changes for version, _ in pieces)
        assert pieces
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in page] == list(range(320, 320 - history_changes, -1))
        for before in (20, 15, 2):
            assert await room.shadows.history(TENANT, "pump", "", before, 5) == []
        for at in moments:
            with pytest.raises(BeforeHistoryError):
                await room.shadows.as_of(TENANT, "pump", "", at)
        await check_totals(room)


async def test_before_a_change_that_is_missing_nothing_is_packed(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=90)) as room:
        moments = []
        for number in range(PACKED_EVERY + PIECE_CHANGES):
            if number == PIECE_CHANGES:
                # Right before what becomes the newest piece.
                await room.database.write(
                    lambda connection: connection.execute("DELETE FROM shadow_change WHERE version = 31")
                )
                room.shadows._config = ShadowsConfig()
            room.now += 1_000
            moments.append(room.now)
            await room.update({"reported": {"n": number}})
        pieces = room.on_disk("SELECT version FROM shadow_change WHERE kind = 'packed'")
        assert pieces == [(32,)]
        assert len(await room.shadows.history(TENANT, "pump", "", None, 1_000)) == len(moments) - 31
        with pytest.raises(BeforeHistoryError):
            await room.shadows.as_of(TENANT, "pump", "", moments[29])


@pytest.mark.parametrize("column", ["author", "kind"])
async def test_a_text_that_damage_made_bytes_is_packed_as_it_is_told(tmp_path: Path, column: str) -> None:
    async with opened(tmp_path) as room:
        for number in range(PACKED_EVERY // 2):
            await room.update({"reported": {"n": number}})
    make_bytes(room.database.path, column)
    async with opened(tmp_path) as room:
        assert room.on_disk(f"SELECT COUNT(*) FROM shadow_change WHERE typeof({column}) = 'blob'") == [(1,)]
        before = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in before] == list(range(PACKED_EVERY // 2, 0, -1))
        for number in range(PACKED_EVERY // 2, 2 * PACKED_EVERY):
            assert (await room.update({"reported": {"n": number}}))["version"] == number + 1
        assert room.on_disk(f"SELECT COUNT(*) FROM shadow_change WHERE typeof({column}) = 'blob'") == [(0,)]
        page = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in page] == list(range(2 * PACKED_EVERY, 0, -1))
        assert page[-len(before) :] == before
        await check_totals(room)


async def test_bytes_that_are_no_text_are_not_packed(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        for number in range(PACKED_EVERY // 2):
            await room.update({"reported": {"n": number}})
        await room.database.write(spoil, "author", 5, b"user mar\xe1a")
    make_bytes(room.database.path, "author", b"user mar\xe1a")
    async with opened(tmp_path) as room:
        for number in range(PACKED_EVERY // 2, 2 * PACKED_EVERY):
            assert (await room.update({"reported": {"n": number}}))["version"] == number + 1
        assert room.on_disk("SELECT hex(author) FROM shadow_change WHERE typeof(author) = 'blob'") == [
            (b"user mar\xe1a".hex().upper(),)
        ]
        await check_totals(room)
