import asyncio

from appliance.audit.acting import acting_as, actor, claim_name, code_name, device_name
from appliance.audit.model import Actor


async def test_who_acts_is_known_to_all_that_is_called_and_to_nobody_else() -> None:
    seen = {}

    async def act(name: str) -> None:
        with acting_as(name, f"address of {name}"):
            await asyncio.sleep(0)
            seen[name] = actor()

    await asyncio.gather(act("ann"), act("bob"))
    assert seen == {name: Actor(name, f"address of {name}") for name in ("ann", "bob")}
    assert actor() == Actor("gateway")


def test_who_acts_on_the_way_keeps_the_address_that_it_came_from() -> None:
    with acting_as("somebody", "192.0.2.7"):
        with acting_as(device_name("pump-1")):
            assert actor() == Actor("device:pump-1", "192.0.2.7")
        assert actor() == Actor("somebody", "192.0.2.7")
    assert (claim_name("line 4"), code_name(7)) == ("claim:line 4", "code:7")
