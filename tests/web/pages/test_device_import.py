import io
import zipfile

import httpx

from tests.web.house import HOST, Client, House
from web.auth import form_token
from web.protection import TOKEN_FIELD

CSV = 'Device ID;Where;Floor\npump-1;north;3\npump 2;north;\npump-3;"<img src=x>";\n'


async def sent(owner: Client, told: dict[str, str], content: bytes = b"", token: str | None = None) -> httpx.Response:
    token = form_token(owner.session_secret) if token is None else token
    files = {"file": ("devices.csv", content, "text/csv")}
    return await owner.post(
        "/device-import", data={TOKEN_FIELD: token, **told}, files=files, headers={"origin": f"https://{HOST}"}
    )


async def test_a_file_is_tried_before_anything_happens(owner: Client, house: House) -> None:
    assert "Choose a table" in (await owner.get("/device-import")).text
    page = (await sent(owner, {"step": "check"}, b"\xef\xbb\xbf" + CSV.encode())).text
    for text in ("2 new", "1 refused", "cannot be a device id", "nothing is changed yet", "Import 2 devices"):
        assert text in page
    assert "<img" not in page
    assert house.gateway.registry.devices(1) == []


async def test_columns_are_mapped_and_the_table_imported(owner: Client, house: House) -> None:
    told = {"content": CSV, "column-0": "device_id", "column-1": "zone", "column-2": "attribute.Floor"}
    assert "Attribute Floor" in (await sent(owner, {**told, "step": "check"})).text
    page = (await sent(owner, {**told, "step": "import"})).text
    assert "2 added, 0 changed, 0 left as they were, 1 refused" in page
    device = house.gateway.registry.device(1, "pump-1")
    assert (device.zone, device.attributes) == ("north", {"Floor": "3"})


async def test_with_certificates_the_answer_is_a_zip_file(owner: Client) -> None:
    told = {"content": "id\npump-1\n", "column-0": "device_id", "step": "import", "certificates": "yes"}
    answer = await sent(owner, told)
    assert answer.headers["content-disposition"] == 'attachment; filename="bundles.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert "pump-1/key.pem" in archive.namelist()


async def test_what_is_no_table_is_explained(owner: Client) -> None:
    broken = await sent(owner, {"step": "check"}, b"\xff\xfe")
    assert broken.status_code == 400
    assert "save it as CSV in UTF-8" in broken.text
    assert "Choose a table" in broken.text
    unmapped = await sent(owner, {"step": "import", "content": "id\na\n", "column-0": ""})
    assert unmapped.status_code == 400
    assert "say which one names the devices" in unmapped.text
    assert "What the columns are" in unmapped.text


async def test_a_table_from_another_site_is_not_taken(owner: Client, house: House) -> None:
    answer = await sent(owner, {"step": "import", "content": "id\na\n", "column-0": "device_id"}, token="guessed")
    assert answer.status_code == 403
    assert house.gateway.registry.devices(1) == []
