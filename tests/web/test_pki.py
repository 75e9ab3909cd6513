import httpx
from cryptography import x509

from tests.web.house import Client, House
from web.trust import create_trust_app


async def test_everybody_is_given_the_list_over_https_and_on_the_trust_port(stranger: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    bundle = await house.gateway.registry.issue_certificate(1, "a")
    await house.gateway.registry.revoke_certificate(1, "a", bundle.fingerprint)
    secure = await stranger.get("/pki/crl")
    assert secure.headers["content-type"] == "application/pkix-crl"
    app = create_trust_app(house.gateway, frozenset({"gateway.local"}), 8443)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://192.0.2.1:8080") as client:
        plain = await client.get("/pki/crl")
    assert plain.content == secure.content
    [one] = x509.load_der_x509_crl(secure.content)
    assert one.serial_number == x509.load_pem_x509_certificate(bundle.certificate_pem.encode()).serial_number
