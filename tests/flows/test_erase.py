"""What a device has sent is erased: from every answer at once, from the disk soon, and for good."""

from pathlib import Path
from typing import Any

from tests.flows.running import Device, RunningGateway, running

COUNT = 50


def readings(gateway: RunningGateway, device_id: str, token: str) -> list[Any]:
    latest = gateway.get("/v1/tenants/1/telemetry/latest", token)
    return [each for each in latest["devices"] if each["device_id"] == device_id]


def files_with(folder: Path, name: str) -> list[str]:
    # The list of what was erased keeps the name, as the audit log does.
    places = [path for path in (*folder.glob("days/*"), *folder.glob("rollups/*")) if path.name != "erased.list"]
    return [path.name for path in places if name.encode() in path.read_bytes()]


def test_an_erased_device_stays_erased_and_others_stay(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        devices = [Device(gateway, name).wait_connected() for name in ("person", "other")]
        for device in devices:
            for number in range(COUNT):
                device.publish({"n": number}, number)
            device.wait_acknowledged(COUNT)
            device.close()
        token = gateway.command("token", "add", "script", "--role", "owner").strip()
        assert readings(gateway, "person", token)
        status, told = gateway.call("DELETE", "/v1/devices/person/telemetry", token)
        assert (status, told["state"]) == (202, "erasing")
        assert not readings(gateway, "person", token)
        while gateway.get("/v1/storage", token)["erasing"]:
            pass
        actions = [entry["action"] for entry in gateway.get("/v1/audit", token)["entries"]]
        assert actions[:2] == ["telemetry.erased", "telemetry.erase"]
        assert gateway.end() == 0, gateway.output
    assert files_with(gateway.data, "person") == []
    gateway.command("device", "erase", "other", "--yes")
    with running(tmp_path) as again:
        assert not readings(again, "person", token)
        assert not readings(again, "other", token)
        while again.get("/v1/storage", token)["erasing"]:
            pass
        assert again.end() == 0, again.output
    assert files_with(again.data, "other") == []
