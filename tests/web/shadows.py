"""Shadows of devices that are there for tests of the web: what devices say, as the room takes it."""

from typing import Any

import msgspec

from appliance.shadows.model import Address, Answer, Verb
from tests.web.house import House


async def say(house: House, device_id: str, state: Any, *, name: str = "", author: str = "") -> Answer:
    """Merge a state into a shadow, as the device itself would."""
    payload = msgspec.json.encode({"state": state})
    address = Address(device_id, name, Verb.UPDATE)
    return await house.gateway.shadows.ask(1, address, payload, author or f"device {device_id}")


async def report(house: House, device_id: str, reported: dict[str, Any] | None, *, name: str = "") -> Answer:
    """Have a device report."""
    return await say(house, device_id, {"reported": reported}, name=name)
