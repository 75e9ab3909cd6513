"""The page of claims."""

import io
import zipfile

from appliance.enrolment.template import DEFAULT_BODY
from tests.web.house import Client, House

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_an_empty_page_says_what_a_claim_is_for(owner: Client) -> None:
    page = (await owner.get("/claims")).text
    assert "No claims yet" in page
    assert "always there" in page


async def test_a_claim_is_made_downloaded_once_shown_and_revoked(owner: Client, house: House) -> None:
    answer = await owner.submit("/claims", {"name": HOSTILE, "days": "30", "use_limit": "5", "serials": "a b\nb"})
    assert answer.status_code == 200
    assert "attachment" in answer.headers["content-disposition"]
    assert answer.headers["cache-control"] == "no-store"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        assert names == {"claim.pem", "claim.key", "root.pem", "README.txt", "enrol_aws_iot_sdk.py"}
    page = (await owner.get("/claims")).text
    assert "0 of 5 uses" in page
    assert "2 serial numbers listed" in page
    assert "<img" not in page
    assert "PRIVATE" not in page
    [claim] = house.gateway.enrolment.claims(1)
    assert (await owner.submit(f"/claims/{claim.claim_number}/revoke")).status_code == 303
    assert "revoked" in (await owner.get("/claims")).text


async def test_what_is_wrong_with_a_form_is_said_and_what_was_typed_stays(owner: Client) -> None:
    for told, why in (
        ({"days": "x"}, "expected a whole number"),
        ({"days": "99999"}, "at most 3650 days"),
        ({"use_limit": "0"}, "expected 1 to"),
        ({"template": "gone"}, "no provisioning template"),
    ):
        answer = await owner.submit("/claims", {"name": "Batch of May"} | told)
        assert answer.status_code in (400, 404)
        assert why in answer.text
        assert 'value="Batch of May"' in answer.text


async def test_a_template_is_added_and_removed(owner: Client) -> None:
    answer = await owner.submit("/provisioning-templates", {"name": "pumps", "body": DEFAULT_BODY})
    assert "The template pumps was added." in answer.text
    broken = await owner.submit("/provisioning-templates", {"name": "broken", "body": HOSTILE})
    assert broken.status_code == 400
    assert "no provisioning template" in broken.text
    assert "<img" not in broken.text
    assert (await owner.submit("/provisioning-templates/pumps/remove")).status_code == 303
    assert "/provisioning-templates/pumps/remove" not in (await owner.get("/claims")).text


async def test_a_form_of_another_site_makes_nothing(owner: Client, house: House) -> None:
    answer = await owner.submit("/claims", {"name": "x"}, origin="https://evil.example")
    assert answer.status_code == 403
    assert house.gateway.enrolment.claims(1) == []


async def test_a_stranger_is_sent_to_the_sign_in_page(stranger: Client) -> None:
    assert (await stranger.get("/claims")).status_code in (302, 303, 401)
