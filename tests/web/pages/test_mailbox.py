import dataclasses

from appliance.notifications.model import Notice
from tests.web.house import Client, House
from web.app import create_app


async def test_an_empty_mailbox_says_what_comes_into_it(owner: Client) -> None:
    assert "No messages" in (await owner.get("/mailbox")).text


async def test_messages_are_shown_as_text(owner: Client, house: House) -> None:
    assert house.gateway.mailbox is not None
    body = "<script>alert(1)</script>"
    notice = Notice(1, 1, None, "email", "maria@example.com", "<b>High</b>", body, 0, 0, 0, None, None, None)
    await house.gateway.mailbox.send(notice)
    page = (await owner.get("/mailbox")).text
    assert "maria@example.com" in page
    assert "&lt;b&gt;High&lt;/b&gt;" in page
    assert "&lt;script&gt;alert(1)" in page


async def test_with_a_real_server_there_is_no_mailbox(house: House) -> None:
    gateway = dataclasses.replace(house.gateway, mailbox=None)
    async with Client(create_app(gateway, house.config), await house.claim()) as client:
        assert (await client.get("/mailbox")).status_code == 404
        assert "/mailbox" not in (await client.get("/")).text
