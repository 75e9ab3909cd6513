import pytest

from tests.web.house import Client, House


async def test_the_page_shows_every_statement_with_the_devices_values(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    page = (await owner.get("/devices/pump-1/policy")).text
    assert "sensors/pump-1/#" in page
    assert "default table, 1" in page
    assert "decides" not in page.replace(".decides", "")


@pytest.mark.parametrize(
    ("resource", "answer"), [("sensors/pump-1/x", "<b>Yes.</b>"), ("sensors/pump-2/x", "<b>No.</b> No statement lets")]
)
async def test_the_tester_answers_and_marks_the_statement_that_decides(
    owner: Client, house: House, resource: str, answer: str
) -> None:
    await house.add_device("pump-1")
    page = (await owner.get("/devices/pump-1/policy", params={"action": "publish", "resource": resource})).text
    assert answer in page
    assert ('id="decides"' in page) is ("Yes" in answer)
    assert f'value="{resource}"' in page


async def test_the_tester_says_when_no_policy_could_change_the_answer(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    question = {"action": "publish", "resource": "$aws/things/pump-1/shadow/update/accepted"}
    assert "No policy can change that." in (await owner.get("/devices/pump-1/policy", params=question)).text


async def test_a_question_that_makes_no_sense_is_answered_so(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    page = (await owner.get("/devices/pump-1/policy?action=fly&resource=x")).text
    assert "Action is &#39;fly&#39;" in page


async def test_a_device_that_is_not_there_has_no_page(owner: Client) -> None:
    assert (await owner.get("/devices/nobody/policy")).status_code == 404
