from tests.web.house import Client, House

DENY = '{"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["sensors/#"]}]}'


async def test_without_a_policy_the_page_says_what_counts(owner: Client) -> None:
    page = (await owner.get("/policies")).text
    assert "No policies yet" in page
    assert "sensors/{device_id}/#" in page


async def test_a_policy_is_typed_in_changed_and_removed(owner: Client, house: House) -> None:
    form = {"name": "quiet", "types": "pump, fan", "devices": "", "document": DENY}
    assert (await owner.submit("/policies", form)).status_code == 303
    assert "Types: pump, fan." in (await owner.get("/policies")).text
    page = (await owner.get("/policies/quiet")).text
    assert 'value="pump, fan"' in page
    assert "&#34;effect&#34;: &#34;deny&#34;" in page
    await owner.submit("/policies", {**form, "types": "", "devices": "pump-1"})
    assert house.gateway.registry.policies.book.policy(1, "quiet").policy.devices == ("pump-1",)
    assert (await owner.submit("/policies/quiet/remove")).status_code == 303
    assert "No policies yet" in (await owner.get("/policies")).text
    assert (await owner.get("/policies/quiet")).status_code == 404


async def test_a_wrong_policy_comes_back_with_what_was_typed(owner: Client) -> None:
    answer = await owner.submit("/policies", {"name": "x", "document": '{"statements": [1]}'})
    assert answer.status_code == 400
    assert "not of a form that is known" in answer.text
    assert "[1]" in answer.text
    answer = await owner.submit("/policies", {"name": "a b", "document": DENY})
    assert "cannot be a policy" in answer.text


async def test_what_somebody_typed_is_text_on_the_page(owner: Client, house: House) -> None:
    evil = "<img src=x onerror=alert(1)>"
    document = (
        '{"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["' + evil + '"], "sid": "<b>"}]}'
    )
    await owner.submit("/policies", {"name": "x", "types": evil, "devices": "pump-1", "document": document})
    await house.add_device("pump-1")
    for address in ("/policies", "/policies/x", "/devices/pump-1/policy"):
        page = (await owner.get(address)).text
        assert evil not in page
        assert "&lt;img src=x" in page
