"""Those who enrol, as the web's tests know them."""

import base64

import httpx

from appliance.enrolment.codes.model import NewCode
from tests.appliance.enrolment.requests import request
from tests.web.house import Client, House

EST = "/.well-known/est/"


async def secret_of(house: House, target: str = "pump-7") -> str:
    return (await house.gateway.codes.add(1, NewCode(target, "pump", "hall"))).secret


async def enrol(
    client: Client, body: bytes | None = None, operation: str = "simpleenroll", **headers: str
) -> httpx.Response:
    """One request of EST, by default with a good signing request and nothing else."""
    content = base64.b64encode(request()) if body is None else body
    return await client.post(
        EST + operation, content=content, headers={"content-type": "application/pkcs10", **headers}
    )


def basic(device_id: str, code: str) -> str:
    return "Basic " + base64.b64encode(f"{device_id}:{code}".encode()).decode()
