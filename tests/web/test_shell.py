import dataclasses

from appliance.health import Status
from tests.web.house import House
from web import shell


async def test_the_navigation_shows_only_what_exists(house: House) -> None:
    assert "mailbox" in [item.key for item in shell.nav_items(house.gateway)]
    without = dataclasses.replace(house.gateway, mailbox=None)
    assert "mailbox" not in [item.key for item in shell.nav_items(without)]


async def test_the_pulse_counts_who_is_there(house: House) -> None:
    await house.add_device("here")
    await house.add_device("away", is_connected=False)
    pulse = shell.pulse(house.gateway, 1)
    assert pulse.online_count == 1
    assert pulse.is_well
    house.gateway.health.register("broken", lambda: Status(ok=False, summary="it is broken"))
    assert not shell.pulse(house.gateway, 1).is_well


async def test_every_live_piece_has_the_identifier_it_is_sent_under(house: House) -> None:
    assert shell.live_parts(shell.pulse(house.gateway, 1)).keys() == {"health", "firing-count", "online-count"}
