from urllib.parse import urlencode

from appliance.accounts.model import Role
from appliance.ingestion.mapping.model import Sample
from tests.appliance.ingestion.mapping.examples import WEARABLE, rule
from tests.web.house import Client, House

DOCUMENT = (
    '{"topic": "iot/wearable/data", "device": {"from": "payload", "path": "deviceId"},'
    ' "metrics": {"heartRate": "hr"}, "publishers": ["hub"]}'
)


async def try_page(client: Client, publisher: str, topic: str, payload: str, name: str = "") -> str:
    query = urlencode({"publisher": publisher, "topic": topic, "payload": payload})
    answer = await client.get(f"/mapping-rules{name}?{query}")
    assert answer.status_code == 200
    return answer.text


async def test_without_a_rule_the_page_says_what_is_read(owner: Client) -> None:
    page = (await owner.get("/mapping-rules")).text
    assert "No mapping rules yet" in page
    assert "sensors/DEVICE/telemetry" in page
    assert 'href="/mapping-rules"' in (await owner.get("/ingestion")).text


async def test_a_rule_is_typed_in_changed_and_removed(owner: Client, house: House) -> None:
    answer = await owner.submit("/mapping-rules", {"name": " wearables ", "document": DOCUMENT})
    assert answer.status_code == 303
    page = (await owner.get("/mapping-rules")).text
    assert "Device at deviceId in the payload; 1 metric by path." in page
    assert "For others, too: hub." in page
    assert "1 of 50" in page
    page = (await owner.get("/mapping-rules/wearables")).text
    assert "&#34;heartRate&#34;: &#34;hr&#34;" in page
    assert "readonly" in page
    changed = '{"topic": "home/+/door", "device": {"from": "topic", "level": 2}, "value": {"metric": "door"}}'
    await owner.submit("/mapping-rules", {"name": "wearables", "document": changed})
    page = (await owner.get("/mapping-rules")).text
    assert "Device at level 2 of the topic; one value, door." in page
    assert (await owner.submit("/mapping-rules/wearables/remove")).status_code == 303
    assert house.gateway.mapping.book.rules(1) == []
    assert (await owner.get("/mapping-rules/wearables")).status_code == 404
    assert (await owner.submit("/mapping-rules/wearables/remove")).status_code == 404


async def test_the_list_says_in_words_what_a_rule_reads(owner: Client, house: House) -> None:
    level = {"from": "topic", "level": 2}
    for name, document, words in (
        (
            "a",
            {"topic": "home/+", "value": {"metric": level}},
            "one value, its metric at level 2 of the topic.",
        ),
        ("b", {"topic": "home/+", "device": level}, "Device at level 2 of the topic; every field is a reading."),
        ("c", {"metrics": {"x": "a", "y": "b"}}, "Device is whoever publishes; 2 metrics by path."),
    ):
        await house.gateway.mapping.put(1, rule(name, **document))
        assert words in (await owner.get("/mapping-rules")).text


async def test_a_wrong_rule_comes_back_with_what_was_typed(owner: Client, house: House) -> None:
    answer = await owner.submit("/mapping-rules", {"name": "mine", "document": '{"topic": "#"}'})
    assert answer.status_code == 400
    assert "its first level must be a name" in answer.text
    assert 'value="mine"' in answer.text
    assert "{&#34;topic&#34;: &#34;#&#34;}" in answer.text
    answer = await owner.submit("/mapping-rules", {"name": "mine", "document": "{"})
    assert "The rule is no JSON" in answer.text
    assert house.gateway.mapping.book.rules(1) == []


async def test_a_form_without_its_token_changes_nothing(owner: Client, house: House) -> None:
    await owner.submit("/mapping-rules", {"name": "wearables", "document": DOCUMENT})
    forged = await owner.post("/mapping-rules", data={"name": "b", "document": DOCUMENT})
    removed = await owner.post("/mapping-rules/wearables/remove")
    assert (forged.status_code, removed.status_code) == (403, 403)
    assert [kept.rule.name for kept in house.gateway.mapping.book.rules(1)] == ["wearables"]


async def test_a_message_is_tried_without_being_kept(owner: Client, house: House) -> None:
    for device_id in ("hub", "watch"):
        await house.add_device(device_id)
    page = await try_page(owner, "hub", WEARABLE, '{"deviceId": "watch", "hr": 72}')
    assert "No mapping rule is about this topic." in page
    await owner.submit("/mapping-rules", {"name": "wearables", "document": DOCUMENT})
    page = await try_page(owner, "hub", WEARABLE, '{"deviceId": "watch", "hr": 72}')
    assert "The rule <b>wearables</b> reads it." in page
    assert "heartRate = 72" in page
    assert "Its publisher may not publish there:" in page
    page = await try_page(owner, "hub", WEARABLE, '{"deviceId": "fan", "hr": 72}', "/wearables")
    assert 'action="/mapping-rules/wearables#came"' in page
    assert "&#34;heartRate&#34;: &#34;hr&#34;" in page
    assert "It spoke for a device that is not here" in page
    assert "which is not registered here" in page
    assert (await house.gateway.mapping.tried(1, Sample("hub", WEARABLE, b"{"))).mishaps[0].kind == "not_json"
    assert "heartRate" not in (await owner.get("/devices/watch")).text


async def test_viewers_see_the_rules_and_have_no_form(house: House, owner: Client) -> None:
    await owner.submit("/mapping-rules", {"name": "wearables", "document": DOCUMENT})

    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = ? WHERE tenant_id = 1", (Role.VIEWER.value,))  # type: ignore[attr-defined]

    await house.gateway.registry._database.write(demote)
    page = (await owner.get("/mapping-rules/wearables")).text
    assert "&#34;heartRate&#34;: &#34;hr&#34;" in page
    assert "Operators and owners write mapping rules." in page
    assert "New rule" not in page + (await owner.get("/mapping-rules")).text
    assert 'action="/mapping-rules/wearables/remove"' not in page
    assert (await owner.submit("/mapping-rules", {"name": "x", "document": DOCUMENT})).status_code == 403
    assert (await owner.submit("/mapping-rules/wearables/remove")).status_code == 403
    assert [kept.rule.name for kept in house.gateway.mapping.book.rules(1)] == ["wearables"]


async def test_what_somebody_typed_is_text_on_the_page(owner: Client, house: House) -> None:
    evil = "<img src=x onerror=alert(1)>"
    await house.add_device("watch")
    await house.gateway.mapping.put(1, rule(topic=f"iot/{evil}", metrics={evil: evil}, publishers=[evil]))
    pages = [(await owner.get(path)).text for path in ("/mapping-rules", "/mapping-rules/wearables")]
    pages.append(await try_page(owner, evil, f"iot/{evil}", f'{{"{evil}": "{evil}"}}'))
    pages.append(await try_page(owner, "watch", f"iot/{evil}", f'{{"{evil}": "{evil}"}}'))
    for page in pages:
        assert evil not in page
        assert "&lt;img src=x" in page
    assert "wearables</b> reads it" in pages[-1]
