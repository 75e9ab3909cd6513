import httpx

from tests.web.house import House
from web.trust import CERTIFICATE_NAME, create_trust_app


async def get(house: House, path: str, host: str = "gateway.local:8080") -> httpx.Response:
    app = create_trust_app(house.gateway, frozenset({"gateway.local"}), 8443)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://192.0.2.1:8080") as client:
        return await client.get(path, headers={"host": host})


async def test_the_page_shows_the_fingerprint_and_offers_the_certificate(house: House) -> None:
    page = await get(house, "/trust")
    assert house.gateway.registry.web_ca_fingerprint in page.text
    assert CERTIFICATE_NAME in page.text
    certificate = await get(house, f"/{CERTIFICATE_NAME}")
    assert certificate.content == house.gateway.registry.web_ca_path.read_bytes()
    assert b"PRIVATE" not in certificate.content


async def test_everything_else_leads_to_https(house: House) -> None:
    answer = await get(house, "/devices?state=offline")
    assert answer.status_code == 307
    assert answer.headers["location"] == "https://gateway.local:8443/devices?state=offline"
    assert (await get(house, "/")).headers["location"] == "https://gateway.local:8443/"


async def test_a_strange_host_is_not_repeated(house: House) -> None:
    for host in ("evil.example", "evil.example:80", "@evil.example", "", "[", "a[b", "[::1", "evil.example:99999"):
        answer = await get(house, "/x", host)
        # The address that the connection has reached, as the transport of this test tells it.
        assert answer.headers["location"].startswith("https://192.0.2.1:8443/"), host
