"""`/v1/stream` for scripts: what may be asked, and who reads."""

from contextlib import aclosing
from typing import Any

import pytest

from appliance.accounts.model import Role
from appliance.errors import InvalidInputError
from appliance.instant import HOUR_MS, to_text
from appliance.stream.model import Position
from appliance.stream.wanted import EVERYTHING
from tests.web.house import Client, House, app_of
from web.api.stream import speed_of
from web.following import Live

STREAM = "/v1/stream"
CONSUMERS = "/v1/stream/consumers"


def held_by(user: str) -> Live:
    return Live(1, Position(1), EVERYTHING, user=user)


async def nothing_to_say() -> None:
    """Somebody may read."""


async def test_a_consumer_is_added_moved_listed_and_deleted(script: Client, house: House) -> None:
    made = await script.post(CONSUMERS, json={"name": "lake", "start": "oldest"})
    assert made.status_code == 201
    assert (made.json()["position"], made.json()["lag_reports"], made.json()["gap"]) == ("1", 0, None)
    await house.send("pump-1", {"n": 1})
    await house.send("pump-1", {"n": 2})
    [told] = (await script.get(CONSUMERS)).json()["consumers"]
    assert (told["name"], told["lag_reports"], told["is_reading"]) == ("lake", 2, False)
    assert told["lag_bytes"] > 0
    assert told["lag_s"] >= 0
    moved = await script.put(f"{CONSUMERS}/lake", json={"position": "2"})
    assert (moved.json()["position"], moved.json()["lag_reports"]) == ("2", 1)
    assert (await script.delete(f"{CONSUMERS}/lake")).status_code == 204
    assert (await script.get(CONSUMERS)).json()["consumers"] == []


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("POST", CONSUMERS, {"name": "a b"}, 400, "invalid_input"),
        ("POST", CONSUMERS, {"name": "a", "start": "never"}, 400, "bad_request"),
        ("POST", CONSUMERS, {"name": "taken"}, 409, "consumer_exists"),
        ("PUT", f"{CONSUMERS}/taken", {"position": "x"}, 400, "bad_position"),
        ("PUT", f"{CONSUMERS}/taken", {"position": "99"}, 400, "bad_position"),
        ("PUT", f"{CONSUMERS}/nobody", {"position": "1"}, 404, "unknown_consumer"),
        ("DELETE", f"{CONSUMERS}/nobody", None, 404, "unknown_consumer"),
        ("GET", f"{STREAM}?consumer=nobody", None, 404, "unknown_consumer"),
        ("GET", f"{STREAM}?topic=a%2B", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?from=yesterday", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?until=0", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?from=0&speed=0.5", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?from=0&consumer=taken", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?from=10&until=10", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?from=10&form=poems", None, 400, "invalid_input"),
        ("GET", f"{STREAM}?form=messages", None, 400, "invalid_input"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_reason(
    script: Client, method: str, path: str, sent: Any, status: int, code: str
) -> None:
    await script.post(CONSUMERS, json={"name": "taken"})
    answer = await script.request(method, path, json=sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_what_came_is_given_once_more_from_an_event_on(script: Client, house: House) -> None:
    start = house.clock()
    for number in range(3):
        await house.send("pump-1", {"n": number}, arrived_at=start + number)
    asked = {"from": to_text(start), "until": to_text(start + HOUR_MS), "speed": "max"}
    async with app_of(house).state.followers.running():
        answer = await script.get(STREAM, params=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.count("event: report") == 3
    assert answer.text.endswith(
        'event: end\nid: end\ndata: {"why":"everything that arrived in the interval was given"}\n\n'
    )
    async with app_of(house).state.followers.running():
        answer = await script.get(STREAM, params=asked, headers={"last-event-id": f"{start + 1}.1"})
    assert answer.text.count("event: report") == 1
    assert (await script.get(STREAM, params=asked, headers={"last-event-id": "end"})).status_code == 204
    assert (await script.get(STREAM, params=asked, headers={"last-event-id": "x"})).status_code == 400


async def test_messages_are_given_once_more_to_operators_from_an_event_on(script: Client, house: House) -> None:
    start = house.clock()
    for number in range(2):
        await house.send("pump-1", {"n": number}, arrived_at=start + number)
    asked = {"from": to_text(start), "until": to_text(start + HOUR_MS), "speed": "max", "form": "messages"}
    async with app_of(house).state.followers.running():
        whole = await script.get(STREAM, params=asked)
        rest = await script.get(STREAM, params=asked, headers={"last-event-id": f"{start}.1"})
    assert whole.text.count("event: message\n") == 2
    assert '"source":"log"' in whole.text
    assert f"event: message\nid: {start + 1}.1\n" in rest.text
    assert rest.text.count("event: message\n") == 1
    assert (await script.get(STREAM, params=asked, headers={"last-event-id": "x"})).status_code == 400
    script.headers["authorization"] = f"Bearer {await house.gateway.accounts.add_token(1, 'v', Role.VIEWER)}"
    assert (await script.get(STREAM, params=asked)).status_code == 403


async def test_a_place_that_this_gateway_has_not_told_is_refused(script: Client) -> None:
    for last_id in ("x", "99"):
        answer = await script.get(STREAM, headers={"last-event-id": last_id})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_position")


async def test_to_read_as_a_consumer_is_for_operators_and_not_while_the_gateway_itself_does(
    script: Client, house: House
) -> None:
    await script.post(CONSUMERS, json={"name": "lake"})
    async with house.gateway.stream.consumer(1, "lake"):
        answer = await script.get(STREAM, params={"consumer": "lake"})
        assert (answer.status_code, answer.json()["code"]) == (409, "consumer_in_use")
    viewer = await house.gateway.accounts.add_token(1, "v", Role.VIEWER)
    script.headers["authorization"] = f"Bearer {viewer}"
    assert (await script.get(STREAM, params={"consumer": "lake"})).status_code == 403
    assert (await script.post(CONSUMERS, json={"name": "mine"})).status_code == 403
    assert (await script.get(CONSUMERS)).status_code == 200


async def test_one_who_has_too_many_streams_open_is_sent_away_and_another_is_not(script: Client, house: House) -> None:
    followers = app_of(house).state.followers
    house.gateway.stream.streams_limit = 4
    one, other = [await house.gateway.accounts.add_token(1, name, Role.VIEWER) for name in ("one", "other")]
    async with followers.running(), aclosing(followers.live(held_by("token:one"), nothing_to_say)) as held:
        await anext(held)
        assert followers.count == 1
        script.headers["authorization"] = f"Bearer {one}"
        answer = await script.get(STREAM, params={"from": "0", "speed": "max"})
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")
        script.headers["authorization"] = f"Bearer {other}"
        assert (await script.get(STREAM, params={"from": "0", "until": "1", "speed": "max"})).status_code == 200


@pytest.mark.parametrize(("text", "speed"), [("1", 1.0), ("2.5", 2.5), ("100", 100.0), ("max", 0.0)])
def test_a_speed_is_one_to_a_hundred_or_as_fast_as_possible(text: str, speed: float) -> None:
    assert speed_of(text) == speed


@pytest.mark.parametrize("text", ["0", "0.9", "101", "nan", "inf", "fast", ""])
def test_no_other_speed_is_taken(text: str) -> None:
    with pytest.raises(InvalidInputError):
        speed_of(text)
