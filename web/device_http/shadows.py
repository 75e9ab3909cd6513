"""`/things/…/shadow`: the shadow of a device, as over MQTT; what changes is published there, too."""

from http import HTTPStatus

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.gateway import Gateway
from appliance.instant import SECOND_MS
from appliance.shadows.model import DEVICE_ID, NAME, Address, Verb
from appliance.shadows.topics import answered, asked
from broker.ports import Principal
from web.device_http.answers import Answer, AnyRequest, RefusedError, document, told
from web.device_http.caller import caller, number, require_answer, require_publish
from web.device_http.retained import made_token, read_token
from web.shell import moment

MOST_RESULTS = 100
DEFAULT_RESULTS = 25


class _Rejection(msgspec.Struct):
    """What is said of a refusal over MQTT."""

    message: str = ""


@get("/things/{thing:str}/shadow")
async def get_shadow(request: AnyRequest, thing: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """The whole document."""
    return await _asked(request, gateway, thing, Verb.GET)


@post("/things/{thing:str}/shadow", status_code=200)
async def update_shadow(request: AnyRequest, thing: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """Merge what is in the body into the shadow."""
    return await _asked(request, gateway, thing, Verb.UPDATE)


@delete("/things/{thing:str}/shadow", status_code=200)
async def delete_shadow(request: AnyRequest, thing: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """Have the shadow gone."""
    return await _asked(request, gateway, thing, Verb.DELETE)


@get("/api/things/shadow/ListNamedShadowsForThing/{thing:str}")
async def list_names(request: AnyRequest, thing: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """The names of the shadows that a device has besides the classic one, a page at a time."""
    principal = await caller(request, gateway)
    limit = number(request, "pageSize", 1, MOST_RESULTS, DEFAULT_RESULTS)
    after = read_token(request.query_params.get("nextToken"))
    address = _address(thing, "", Verb.GET)
    await _require(gateway, principal, address)
    found = await gateway.shadows.names(principal.tenant_id, address.device_id, after, limit + 1)
    names = [one.name for one in found[:limit]]
    token = made_token(names[-1]) if len(found) > limit else None
    return told({"results": names, "nextToken": token, "timestamp": moment() // SECOND_MS})


async def _asked(request: AnyRequest, gateway: Gateway, thing: str, verb: Verb) -> Answer:
    """Ask the shadow."""
    principal = await caller(request, gateway)
    name = request.query_params.get("name")
    if name is not None and NAME.fullmatch(name) is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{name[:64]!r} is no name of a shadow")
    address = _address(thing, name or "", verb)
    await _require(gateway, principal, address)
    payload = await request.body() if verb is Verb.UPDATE else b""
    answer = await gateway.shadows.ask(principal.tenant_id, address, payload, f"device {principal.name}")
    if not answer.is_accepted:
        told_why = msgspec.json.decode(answer.payload, type=_Rejection).message
        raise RefusedError(HTTPStatus(answer.code), told_why)
    return document(answer.payload)


async def _require(gateway: Gateway, principal: Principal, address: Address) -> None:
    """A device may do here what it may ask for over MQTT, if it may be sent the answer there."""
    await require_publish(gateway, principal, asked(address))
    await require_answer(gateway, principal, answered(address, "accepted"))


def _address(thing: str, name: str, verb: Verb) -> Address:
    if DEVICE_ID.fullmatch(thing) is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, f"{thing[:128]!r} is no name of a device")
    return Address(thing, name, verb)


HANDLERS = (get_shadow, update_shadow, delete_shadow, list_names)
