import asyncio

from appliance.audit.acting import acting_as, actor
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
