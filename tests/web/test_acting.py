from tests.web.house import EMAIL, Client, House

CHANGE = "/v1/devices/a/certificates"


async def test_the_log_says_who_asked_and_from_where(owner: Client, script: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    assert (await owner.submit("/devices/a/bundle")).status_code == 200
    assert (await script.post(CHANGE)).status_code == 201
    by_script, by_hand = await house.gateway.registry.audit.entries(1, limit=2)
    assert (by_hand.actor, by_hand.address) == (EMAIL, "127.0.0.1")
    assert by_script.actor == "token:test"
