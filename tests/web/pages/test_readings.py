import pytest

from appliance.instant import DAY_MS
from tests.appliance.telemetry.cold.rig import HAS_PYARROW
from tests.appliance.telemetry.exporting.programs import without_pyarrow
from tests.appliance.telemetry.kept import kept
from tests.web.house import HOST, Client, House
from web.auth import form_token
from web.protection import TOKEN_FIELD

AT = 1_700_000_000_000 // DAY_MS * DAY_MS
TABLE = f"device_id,time,flow\na,{AT},1.5\nnobody,{AT},1\n"


async def sent(owner: Client, step: str, file: bytes = b"", **fields: str) -> str:
    told = {TOKEN_FIELD: form_token(owner.session_secret), "step": step, **fields}
    answer = await owner.post(
        "/readings/import",
        data=told,
        files={"file": ("t.csv", file, "text/csv")},
        headers={"origin": f"https://{HOST}"},
    )
    assert answer.status_code == (400 if "complaint" in answer.text else 200)
    return answer.text


async def test_a_table_is_looked_at_before_it_is_taken(owner: Client, house: House) -> None:
    await house.add_device("a")
    text = await sent(owner, "check", TABLE.encode())
    assert "1 readings of 2 rows" in text
    assert "there is no device" in text
    assert "nobody" in text
    assert await kept(house.gateway.telemetry, "a", 0, AT + DAY_MS) == []
    text = await sent(owner, "import", content=TABLE)
    assert "Taken" in text
    [report] = await kept(house.gateway.telemetry, "a", 0, AT + DAY_MS)
    assert report.values == {"flow": 1.5}
    assert "1 were there already" in await sent(owner, "check", TABLE.encode())


async def test_a_device_may_be_said_for_all_rows(owner: Client, house: House) -> None:
    await house.add_device("a")
    assert "1 readings of 1 rows" in await sent(owner, "check", b"time,x\n0,1\n", device_id="a")


@pytest.mark.parametrize(("file", "said"), [(b"", "o column says when"), (b"\xff", "UTF-8"), (b"a\n", "o column")])
async def test_what_is_no_table_is_said(file: bytes, said: str, owner: Client) -> None:
    assert said in await sent(owner, "check", file)


async def test_parquet_is_a_choice_where_it_can_be_written(
    owner: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = '<option value="parquet"'
    assert house.gateway.exporting.has_parquet is HAS_PYARROW
    assert (f"{choice}>Parquet" in (await owner.get("/readings")).text) is HAS_PYARROW
    without_pyarrow(monkeypatch)
    page = (await owner.get("/readings")).text
    assert f"{choice} disabled>Parquet" in page
    assert "pip install &#39;headworks[cold]&#39;" in page or "pip install 'headworks[cold]'" in page


async def test_both_forms_stand_on_one_page_that_others_lead_to(owner: Client, house: House) -> None:
    await house.add_device("a")
    page = (await owner.get("/readings?device=a")).text
    assert 'action="/v1/telemetry/export"' in page
    assert 'name="device" value="a"' in page
    assert "/readings?device=a" in (await owner.get("/devices/a")).text
    assert 'href="/readings"' in (await owner.get("/storage")).text
    empty = "device=&zone=&group=&start=2026-01-31T10:30&end=2026-02-01T10:30&select=&bin=&format=csv"
    assert (await owner.get(f"/v1/telemetry/export?{empty}")).text.startswith("device_id,at,sequence")
