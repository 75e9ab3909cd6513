import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.plane_settings import ShadowsConfig
from appliance.shadows import service
from appliance.shadows.model import BeforeHistoryError, ShadowChanged, Verb
from appliance.store.database import UnwritableError, Work
from tests.appliance.ingestion.examples import turn
from tests.appliance.ingestion.gateway import commit_requests, ingesting
from tests.appliance.shadows.room import TENANT, Room, opened, request


async def test_what_devices_ask_for_is_answered_at_qos_1_and_not_retained(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        assert room.shadows.takes("$aws/things/pump/shadow/get")
        assert not room.shadows.takes("$aws/things/pump/jobs/get")
        await room.publish(request("update", {"state": {"desired": {"a": 1}}}), request("name/x/get"))
    assert {(one.tenant_id, one.principal, one.qos, one.retain) for one in room.published} == {(TENANT, "", 1, False)}
    assert [one.topic.removeprefix("$aws/things/pump/shadow/") for one in room.published] == [
        "update/accepted",
        "update/delta",
        "update/documents",
        "name/x/get/rejected",
    ]


async def test_both_documents_are_written_only_for_who_hears_of_them(tmp_path: Path) -> None:
    asked: list[tuple[int, str]] = []

    def is_heard(tenant_id: int, topic: str) -> bool:
        asked.append((tenant_id, topic))
        return False

    async with opened(tmp_path) as room:
        room.shadows.is_heard = is_heard
        await room.publish(request("update", {"state": {"desired": {"a": 1}}}))
        assert [one.topic.rpartition("/")[2] for one in room.published] == ["accepted", "delta"]
        assert asked == [(TENANT, "$aws/things/pump/shadow/update/documents")]
        room.shadows.is_heard = lambda _tenant_id, _topic: True
        await room.publish(request("update", {"state": {"desired": {"a": 2}}}))
    both = json.loads(room.published[-1].payload)
    assert (both["previous"]["version"], both["current"]["state"]) == (1, {"desired": {"a": 2}})


async def test_who_asks_from_elsewhere_is_answered_and_devices_hear_what_changed(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        assert (await room.update({"desired": {"a": 1}}))["version"] == 1
        assert [one.topic.rpartition("/")[2] for one in room.published] == ["accepted", "delta", "documents"]
        room.published.clear()
        assert json.loads((await room.ask(Verb.GET)).payload)["state"] == {"desired": {"a": 1}, "delta": {"a": 1}}
        assert (await room.ask(Verb.UPDATE, b"{")).code == 400
        assert (await room.ask(Verb.GET, name="x")).code == 404
        assert room.published == []
        assert (await room.ask(Verb.DELETE)).code == 200
        assert (await room.ask(Verb.GET)).code == 404


async def test_shadows_are_told_as_they_are(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        assert await room.shadows.shadow(TENANT, "pump", "") is None
        await room.update({"desired": {"a": 1}, "reported": {"a": 1.0}})
        for name in ("b", "$a", "c"):
            await room.update({"desired": {"a": 1}}, name=name)
        await room.ask(Verb.DELETE, name="c")
        shadow = await room.shadows.shadow(TENANT, "pump", "")
        assert shadow is not None
        assert (shadow.version, shadow.desired, shadow.delta, shadow.updated_at) == (1, {"a": 1}, None, room.now)
        names = await room.shadows.names(TENANT, "pump", "", 10)
        assert [(one.name, one.has_delta) for one in names] == [("$a", True), ("b", True)]
        assert [one.name for one in await room.shadows.names(TENANT, "pump", "$a", 10)] == ["b"]
        assert await room.shadows.shadow(TENANT + 1, "pump", "") is None
        assert await room.shadows.names(TENANT + 1, "pump", "", 10) == []


async def test_history_tells_who_changed_what_and_what_was_when(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=3)) as room:
        begun = room.now
        await room.publish(request("update", {"state": {"reported": {"a": 1}}}))
        room.now += 1_000
        await room.update({"desired": {"a": 2}})
        assert [(one.version, one.author) for one in await room.shadows.history(TENANT, "pump", "", None, 10)] == [
            (2, "user maria"),
            (1, "device pump"),
        ]
        assert await room.shadows.as_of(TENANT, "pump", "", begun - 1) is None
        first = await room.shadows.as_of(TENANT, "pump", "", begun + 999)
        assert first is not None
        assert (first.version, first.reported, first.desired) == (1, {"a": 1}, None)
        room.now += 1_000
        await room.ask(Verb.DELETE)
        assert await room.shadows.as_of(TENANT, "pump", "", room.now) is None
        room.now += 1_000
        await room.update({"desired": {"b": 1}})
        with pytest.raises(BeforeHistoryError, match="begins at"):
            await room.shadows.as_of(TENANT, "pump", "", begun)
        assert [one.kind for one in await room.shadows.history(TENANT, "pump", "", 4, 1)] == ["deleted"]
        assert await room.shadows.history(TENANT, "other", "", None, 10) == []
        assert await room.shadows.as_of(TENANT, "other", "", begun) is None


async def test_a_burst_of_one_device_leaves_no_gap_over_which_a_moment_would_be_told_wrongly(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=90)) as room:
        for number in range(100):
            room.now += 1_000
            await room.update({"reported": {"n": number}})
        long_ago = room.now - 10_000
        room.now += 1_000
        # More than is trimmed at once: of what was there before some is left, and of the burst only the newest.
        await room.publish(*[request("update", {"state": {"reported": {"n": 100 + n}}}) for n in range(300)])
        history = await room.shadows.history(TENANT, "pump", "", None, 1_000)
        assert [one.version for one in history] == list(range(400, 310, -1))
        assert all(one.reported == {"n": one.version - 1} for one in history)
        with pytest.raises(BeforeHistoryError, match="begins at"):
            await room.shadows.as_of(TENANT, "pump", "", long_ago)


async def test_a_history_that_is_no_longer_wanted_hides_nothing_of_what_is(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        for number in range(80):
            await room.update({"reported": {"n": number}})
        room.now += 1_000
        room.shadows._config = ShadowsConfig(history_changes=0)
        await room.update({"reported": {"n": 80}})
        now = await room.shadows.as_of(TENANT, "pump", "", room.now)
        assert now is not None
        assert (now.version, now.reported) == (81, {"n": 80})
        assert await room.shadows.history(TENANT, "pump", "", None, 10) == []


async def test_a_long_history_is_walked_piece_by_piece_to_any_page_of_it(tmp_path: Path) -> None:
    async with opened(tmp_path, ShadowsConfig(history_changes=150)) as room:
        moments = []
        for number in range(200):
            room.now += 10
            moments.append(room.now)
            await room.publish(request("update", {"state": {"reported": {"n": number}}}))
        oldest = room.on_disk("SELECT MIN(version) FROM shadow_change")[0][0]
        for before, limit in ((None, 1), (None, 33), (60, 5), (oldest + 3, 10), (oldest, 10), (1, 10), (10_000, 300)):
            page = await room.shadows.history(TENANT, "pump", "", before, limit)
            first = min(200, 10_000 if before is None else before - 1)
            assert [one.version for one in page] == list(range(first, max(first - limit, oldest - 1), -1))
            assert all(one.reported == one.patch["reported"] == {"n": one.version - 1} for one in page)
        for version in (200, 169, 168, oldest):
            then = await room.shadows.as_of(TENANT, "pump", "", moments[version - 1])
            assert then is not None
            assert (then.version, then.reported) == (version, {"n": version - 1})
        with pytest.raises(BeforeHistoryError):
            await room.shadows.as_of(TENANT, "pump", "", moments[oldest - 2])


async def test_people_who_publish_are_named_as_such(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        asked = request("update", {"state": {}})
        for principal in ("user:maria@example.org", "token:nightly"):
            await room.publish(msgspec.structs.replace(asked, principal=principal, is_operators=True))
        authors = [one.author for one in await room.shadows.history(TENANT, "pump", "", None, 10)]
    assert authors == ["script nightly", "user maria@example.org"]


async def test_a_clock_that_was_set_back_does_not_turn_the_history_around(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.update({"desired": {"a": 1}})
        room.now -= 3_600_000
        await room.update({"desired": {"a": 2}})
        assert [one.at for one in await room.shadows.history(TENANT, "pump", "", None, 10)] == [
            room.now + 3_600_000
        ] * 2


async def test_an_erased_device_has_no_shadow_and_one_that_is_made_later_begins_anew(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        asked_at = room.now
        for device_id in ("pump", "other"):
            await room.update({"desired": {"a": 1}}, device_id)
        room.now += 1
        await room.update({"desired": {"a": 2}})
        for _ in range(2):
            await room.shadows.erase(TENANT, "pump", asked_at)
            assert await room.shadows.shadow(TENANT, "other", "") is not None
        assert await room.shadows.history(TENANT, "pump", "", None, 10) == []
        assert (await room.update({"reported": {"a": 3}}))["version"] == 1
        await room.shadows.erase(TENANT, "pump", asked_at)
        assert await room.shadows.shadow(TENANT, "pump", "") is not None


def _add_devices(connection: sqlite3.Connection) -> None:
    connection.executemany(
        "INSERT INTO device (tenant_id, device_id, state, created_at) VALUES (1, ?, ?, 0)",
        [("pump", "retired"), ("fan", "suspended")],
    )


async def test_the_shadows_of_a_device_that_retired_while_nobody_looked_are_deleted_at_the_start(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as room:
        for device_id in ("pump", "fan", "stranger"):
            for name in ("", "config"):
                await room.update({"reported": {"a": 1}}, device_id, name)
        await room.database.write(_add_devices)
        room.published.clear()
        async with room.shadows.running():
            async with asyncio.timeout(20):
                while await room.shadows.names(TENANT, "pump", "", 1) or len(room.published) < 2:
                    pass
            assert {one.topic for one in room.published} == {
                "$aws/things/pump/shadow/delete/accepted",
                "$aws/things/pump/shadow/name/config/delete/accepted",
            }
            assert await room.shadows.shadow(TENANT, "pump", "") is None
            for device_id in ("fan", "stranger"):
                assert len(await room.shadows.names(TENANT, device_id, "", 10)) == 1
            # Whoever may write by the name of a device goes on with its version, and that goes at the next look.
            assert (await room.update({"reported": {"b": 1}}))["version"] == 3
            [_, gone, _] = await room.shadows.history(TENANT, "pump", "", None, 10)
            assert (gone.author, gone.kind, gone.reported_before) == ("gateway", "deleted", {"a": 1})
            room.shadows.gone(TENANT, "fan")
            async with asyncio.timeout(20):
                while await room.shadows.shadow(TENANT, "pump", "") is not None:
                    pass


async def test_while_nothing_can_be_written_they_are_deleted_later(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(service, "AGAIN_S", 0.0)
    async with opened(tmp_path) as room:
        await room.update({"reported": {"a": 1}})
        await room.database.write(_add_devices)
        together, failures = room.shadows.together, iter((True, True))

        async def full_at_first(work: Work) -> None:
            if next(failures, False):
                raise UnwritableError("the disk is full")
            await together(work)

        room.shadows.together = full_at_first
        async with room.shadows.running(), asyncio.timeout(20):
            while await room.shadows.shadow(TENANT, "pump", "") is not None:
                pass
        assert next(failures, None) is None


async def test_whatever_else_fails_they_are_deleted_later_and_the_log_says_so_once(
    tmp_path: Path, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "AGAIN_S", 0.0)
    async with opened(tmp_path) as room:
        for name in ("", "a", "b"):
            await room.update({"reported": {"a": 1}}, name=name)
        await room.database.write(_add_devices)
        room.published.clear()
        together, asked, words = room.shadows.together, 0, "words of a device"

        async def failing(work: Work) -> None:
            nonlocal asked
            asked += 1
            if asked in (1, 4, 5):
                raise ZeroDivisionError(words)
            await together(work)

        room.shadows.together = failing
        async with room.shadows.running(), asyncio.timeout(20):
            while len(room.published) < 3:
                await room.shadows.names(TENANT, "pump", "", 10)
        # One that fails keeps no other in its round.
        assert asked == 6
        assert room.on_disk("SELECT 1 FROM shadow WHERE state IS NOT NULL") == []
    assert caplog.text.count("not deleted yet error=ZeroDivisionError") == 1
    assert words not in caplog.text


async def test_those_that_cannot_be_deleted_are_tried_once_and_keep_no_other(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(service, "DELETED_AT_ONCE", 1)
    async with opened(tmp_path) as room:
        for name in ("", "a"):
            await room.update({"reported": {"a": 1}}, name=name)
        await room.database.write(_add_devices)
        # There is a state, and so it is found; there are no times to it, and so it is not there.
        await room.database.write(
            lambda connection: connection.execute("UPDATE shadow SET metadata = NULL WHERE name = ''")
        )
        async with asyncio.timeout(20):
            await room.shadows.delete_retired()
        assert room.on_disk("SELECT name FROM shadow WHERE state IS NOT NULL") == [("",)]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["update", "delete", "stale"])), max_size=12))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_accepted_version_is_in_the_history_once_whoever_writes(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, str]]
) -> None:
    async with opened(tmp_path_factory.mktemp("shadows")) as room:
        accepted = await _written(room, steps)
        history = await room.shadows.history(TENANT, "pump", "", None, 1_000)
    assert sorted(accepted) == [one.version for one in reversed(history)]
    assert [one.version for one in reversed(history)] == list(range(1, len(history) + 1))


async def _written(room: Room, steps: list[tuple[int, str]]) -> list[int]:
    """Let writers write at once, over MQTT and past it; give the versions that they made."""

    async def one(writer: int, what: str) -> list[int]:
        body = {"state": {"reported": {f"w{writer}": what}}} | ({"version": writer} if what == "stale" else {})
        verb = "delete" if what == "delete" else "update"
        if writer:
            answer = await room.ask(Verb(verb), body)
            told = json.loads(answer.payload)
        else:
            published: list[Any] = []
            afterwards = await room.database.write(room._apply, (request(verb, body),))
            before, room.shadows.publish = room.shadows.publish, published.append
            afterwards()
            room.shadows.publish = before
            told = json.loads(published[0].payload)
        # A deletion tells the version that it deleted.
        return [told["version"] + (verb == "delete")] if "version" in told else []

    made = await asyncio.gather(*[one(writer, what) for writer, what in steps])
    return [version for versions in made for version in versions]


async def test_an_answered_update_is_on_the_disk_with_its_batch(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        room = Room(gateway.database, ShadowsConfig())
        room.shadows.together = gateway.ingestion.together
        gateway.ingestion.company.rooms = (room.shadows,)
        seen: list[tuple[int, int]] = []
        gateway.broker.on_acknowledge = lambda: seen.append(
            (len(room.published), len(gateway.on_disk("SELECT 1 FROM shadow")))
        )
        gateway.ingestion.accept(turn([request("update", {"state": {"reported": {"a": 1}}})], ["asked"]))
        assert (await room.update({"desired": {"a": 1}}))["version"] == 2
    assert seen == [(0, 1)]
    assert [one.topic.rpartition("/")[2] for one in room.published] == [
        "accepted",
        "documents",
        "accepted",
        "documents",
    ]


async def test_a_shadow_that_cannot_be_written_costs_no_other_its_update_and_who_asked_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("""
            CREATE TRIGGER spoilt BEFORE UPDATE ON shadow WHEN OLD.device_id = 'fan'
            BEGIN SELECT RAISE(ABORT, 'secret'); END
        """)

    names = ("lamp", "fan", "other")
    async with opened(tmp_path) as room:
        for name in names:
            await room.update({"reported": {"a": 1}}, name)
        await room.database.write(spoil)
        room.published.clear()
        asked = [request("update", {"state": {"reported": {"a": 2}}}, name) for name in names]
        await commit_requests(room.database, room.shadows, asked, room.now)
        told = {one.topic: json.loads(one.payload) for one in room.published if not one.topic.endswith("documents")}
        states = [await room.shadows.shadow(TENANT, name, "") for name in names]
    assert {topic.split("/")[2]: topic.rpartition("/")[2] for topic in told} == {
        "lamp": "accepted",
        "fan": "rejected",
        "other": "accepted",
    }
    assert told["$aws/things/fan/shadow/update/rejected"]["code"] == 500
    assert [state.reported["a"] for state in states if state and isinstance(state.reported, dict)] == [2, 1, 2]
    assert "requests failed count=1 error=IntegrityError" in caplog.text
    assert "secret" not in caplog.text


async def test_what_changed_is_announced_once_and_only_when_it_is_on_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        announced: list[object] = []
        room.shadows.announce = announced.extend
        update = request("update", {"state": {"reported": {"a": 1}}})
        others = (request("get"), request("name/x/get"), request("name/x/update", {"state": 7}))
        await room.publish(update, update, *others)
        assert announced == [ShadowChanged(TENANT, "pump", "")]
        announced.clear()
        await room.update({"desired": {"a": 2}}, name="display")
        await room.ask(Verb.DELETE)
        assert announced == [ShadowChanged(TENANT, "pump", "display"), ShadowChanged(TENANT, "pump", "")]
        announced.clear()
        await room.ask(Verb.GET)
        await room.ask(Verb.UPDATE, b"{")
        assert announced == []
