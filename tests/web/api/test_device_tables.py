import io
import zipfile

from tests.web.house import Client, House

CSV = "device_id,zone,attribute.floor\na,north,3\nb b,north,\n"


async def test_a_table_is_tried_and_then_imported(script: Client, house: House) -> None:
    tried = (await script.post("/v1/device-imports?dry_run=true", json={"csv": CSV})).json()
    assert tried["is_dry_run"] is True
    assert tried["counts"] == {"new": 1, "changed": 0, "unchanged": 0, "refused": 1}
    assert [(row["line"], row["outcome"]) for row in tried["rows"]] == [(2, "new"), (3, "refused")]
    assert house.gateway.registry.devices(1) == []
    done = (await script.post("/v1/device-imports", json={"csv": CSV})).json()
    assert done == {**tried, "is_dry_run": False}
    assert house.gateway.registry.device(1, "a").attributes == {"floor": "3"}


async def test_columns_are_what_the_mapping_says(script: Client, house: House) -> None:
    told = {"csv": "who,where\na,north\n", "mapping": {"who": "device_id", "where": "attribute.site"}}
    assert (await script.post("/v1/device-imports", json=told)).status_code == 200
    assert house.gateway.registry.device(1, "a").attributes == {"site": "north"}
    answer = await script.post("/v1/device-imports", json={**told, "mapping": {"where": "zone"}})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_table")


async def test_bundles_come_as_one_zip_and_their_keys_nowhere_else(script: Client, house: House) -> None:
    answer = await script.post("/v1/device-imports/bundles", json={"csv": CSV})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = archive.namelist()
        assert b"PRIVATE KEY" in archive.read("a/key.pem")
    assert "import.csv" in names
    assert not [name for name in names if name.startswith("b b")]
    assert not [name for name in names if name.endswith(".sh")]
    assert len(await house.gateway.registry.certificates(1, "a")) == 1


async def test_bundles_of_a_table_have_programs_if_they_are_asked_for(script: Client) -> None:
    answer = await script.post("/v1/device-imports/bundles?programs=true", json={"csv": CSV})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert b"mosquitto_pub" in archive.read("a/publish.sh")


async def test_an_export_is_a_file_that_spreadsheets_read(script: Client) -> None:
    await script.post("/v1/devices", json={"device_id": "a", "name": "=1+1", "zone": "n"})
    await script.post("/v1/devices", json={"device_id": "b"})
    answer = await script.get("/v1/device-exports?q=zone:n")
    assert answer.content.startswith(b"\xef\xbb\xbfdevice_id,name")
    assert answer.headers["content-disposition"] == 'attachment; filename="devices.csv"'
    assert [line[:7] for line in answer.text.splitlines()[1:]] == ["a,'=1+1"]
    assert (await script.get("/v1/device-exports?q=colour:red")).status_code == 400


async def test_a_table_may_be_larger_than_other_bodies_but_not_endless(script: Client, house: House) -> None:
    rows = "".join(f"pump-{number:05d},{'x' * 200}\n" for number in range(6_000))
    large = await script.post("/v1/device-imports?dry_run=true", json={"csv": "device_id,name\n" + rows})
    assert len(rows) > house.config.body_limit_bytes
    assert large.json()["counts"]["new"] == 6_000
    endless = await script.post("/v1/device-imports", content=b" " * (16 * 1024 * 1024 + 1))
    assert endless.status_code == 413
