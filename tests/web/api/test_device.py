import json
from pathlib import Path

from appliance.instant import to_text
from tests.web.devices import ask, device_tls, shared_port
from tests.web.house import House
from web.server import serving


async def test_a_device_is_told_who_it_is(house: House, tmp_path: Path) -> None:
    for device_id in ("sensor-001", "sensor-002"):
        await house.add_device(device_id)
        bundle = await house.gateway.registry.issue_certificate(1, device_id)
        async with serving(house.gateway, house.config) as served, shared_port(house, served) as port:
            answer = await ask(port, device_tls(tmp_path, bundle))
        assert json.loads(answer.text) == {
            "device_id": device_id,
            "fingerprint": bundle.fingerprint,
            "expires_at": to_text(bundle.expires_at),
        }
