from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.catalogue.model import MetricKind, MetricRule, Violation
from tests.web.house import Client, House
from web.pages.device_types import lines_of, pairs_in

HOSTILE = "<img src=x>"
_words = st.text("abc Ü°/", min_size=1, max_size=6).map(str.strip).filter(bool)


@given(st.dictionaries(_words, _words, max_size=4))
def test_pairs_are_read_as_they_are_written(pairs: dict[str, str]) -> None:
    assert pairs_in(lines_of(pairs)) == pairs


async def test_a_type_is_described_edited_and_forgotten(owner: Client, house: House) -> None:
    told = {
        "name": "px 100",
        "description": HOSTILE,
        "units": "pressure = kPa\r\n",
        "interval_seconds": "5",
        "metrics": "pressure = number, 0 to 60, reject\r\n",
        "unknown_metrics": "flag",
    }
    assert (await owner.submit("/device-types", told)).status_code == 303
    [kind] = house.gateway.catalogue.types(1)
    assert (kind.units, kind.expected_interval_ms) == ({"pressure": "kPa"}, 5_000)
    assert kind.metrics == {"pressure": MetricRule(MetricKind.NUMBER, 0, 60, Violation.REJECT)}
    assert kind.unknown_metrics is Violation.FLAG
    page = (await owner.get("/device-types?name=px+100")).text
    assert "pressure = number, 0 to 60, reject" in page
    assert '<option value="flag" selected>' in page
    assert "<img" not in page
    assert "pressure = kPa" in page
    await owner.submit("/device-types", {**told, "interval_seconds": ""})
    assert house.gateway.catalogue.type(1, "px 100").expected_interval_ms is None
    await owner.submit("/device-types/remove", {"name": "px 100"})
    assert "No types yet" in (await owner.get("/device-types")).text


async def test_what_is_wrong_with_a_type_is_told_beside_what_was_written(owner: Client) -> None:
    for wrong in (
        {"units": "pressure"},
        {"interval_seconds": "soon"},
        {"metrics": "pressure = blue"},
        {"unknown_metrics": "eat"},
        {"name": "a/b"},
    ):
        page = await owner.submit("/device-types", {"name": "px", "description": "kept", **wrong})
        assert page.status_code == 400
        assert "kept" in page.text
        assert 'role="alert"' in page.text
