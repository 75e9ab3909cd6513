from tests.web.house import Client
from web.assets import Assets
from web.templating import FOLDER


async def test_a_file_is_kept_for_good_by_its_browser(stranger: Client) -> None:
    address = Assets(FOLDER / "static").url("vendor/htmx.min.js")
    answer = await stranger.get(address)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-encoding"] == "gzip"
    plain = await stranger.get(address, headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == answer.content == (FOLDER / "static" / "vendor" / "htmx.min.js").read_bytes()


async def test_only_known_names_are_served(stranger: Client) -> None:
    for path in ("app.css", "vendor/vendor.json", "../app.py", "%2e%2e/app.py", "..%2fapp.py"):
        assert (await stranger.get(f"/static/{path}")).status_code == 404, path
