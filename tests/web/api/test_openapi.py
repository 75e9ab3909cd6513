from tests.web.house import Client


async def test_the_description_names_every_call_and_its_answers(script: Client) -> None:
    described = (await script.get("/v1/openapi.json")).json()
    for path, methods in described["paths"].items():
        assert path.startswith("/v1/")
        for method in methods.values():
            assert method["summary"]
            assert any(status.startswith("2") for status in method["responses"])


async def test_the_description_is_for_who_is_signed_in(stranger: Client) -> None:
    assert (await stranger.get("/v1/openapi.json")).status_code == 401


async def test_it_is_made_once(script: Client) -> None:
    first = await script.get("/v1/openapi.json")
    assert first.headers["content-type"] == "application/json"
    app = script._transport.app  # type: ignore[attr-defined]  # of httpx, which knows any transport
    made = app.state["description"]
    assert (await script.get("/v1/openapi.json")).content == first.content == made
    assert app.state["description"] is made
