"""`/connections`: how it stands with a device's own MQTT connection, and an end to it."""

from http import HTTPStatus

from litestar import delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.gateway import Gateway
from broker.connecting import KEEP_ALIVE_GRACE
from broker.ports import Principal
from broker.session import Session
from web.device_http.answers import Answer, AnyRequest, RefusedError, done, told
from web.device_http.caller import caller, number, yes_or_no
from web.device_http.retained import made_token, read_token

MOST_RESULTS = 200
REASON = "the device ended it over HTTPS"


@get("/connections/{client_id:str}")
async def get_connection(request: AnyRequest, client_id: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """Whether a session is connected, from where and since when."""
    principal = await caller(request, gateway)
    session = _own(gateway, principal, client_id)
    client = session.client
    presence = gateway.registry.presence(principal.tenant_id, principal.name)
    fields = {
        "clientId": session.client_id,
        "connected": client is not None,
        "thingName": principal.name,
        "cleanSession": not session.is_stored,
        "sessionExpiry": session.expiry_s,
    }
    if client is None:
        fields |= {"disconnectedSince": session.left_at}
    else:
        fields |= {"keepAliveDuration": round(client.keep_alive_s / KEEP_ALIVE_GRACE)}
        if presence.connected:
            fields |= {"connectedSince": presence.since}
        if yes_or_no(request, "includeSocketInformation"):
            host, _, port = client.stream.address.rpartition(":")
            fields |= {"sourceIp": host.strip("[]"), "sourcePort": int(port) if port.isdigit() else None}
    return told(fields)


@get("/connections/{client_id:str}/subscriptions")
async def list_subscriptions(
    request: AnyRequest, client_id: FromPath[str], gateway: NamedDependency[Gateway]
) -> Answer:
    """What a session has subscribed to, in the order of the filters, a page at a time."""
    session = _own(gateway, await caller(request, gateway), client_id)
    limit = number(request, "maxResults", 1, MOST_RESULTS, MOST_RESULTS)
    after = read_token(request.query_params.get("nextToken"))
    following = sorted(topic_filter for topic_filter in session.subscriptions if topic_filter > after)
    shown = following[:limit]
    subscriptions = [
        {"topicFilter": topic_filter, "qos": session.subscriptions[topic_filter].qos} for topic_filter in shown
    ]
    return told(
        {"subscriptions": subscriptions, "nextToken": made_token(shown[-1]) if len(following) > limit else None}
    )


@delete("/connections/{client_id:str}", status_code=200)
async def end_connection(request: AnyRequest, client_id: FromPath[str], gateway: NamedDependency[Gateway]) -> Answer:
    """End a connection, with `cleanSession` the session too, with `preventWillMessage` without its will."""
    session = _own(gateway, await caller(request, gateway), client_id)
    is_clean, is_silent = yes_or_no(request, "cleanSession"), yes_or_no(request, "preventWillMessage")
    if session.client is None and not is_clean:
        raise RefusedError(HTTPStatus.NOT_FOUND, f"{client_id[:128]!r} is not connected")
    gateway.broker.proxy.hang_up(session, REASON, is_clean=is_clean, leaves_will=not is_silent)
    return done()


def _own(gateway: Gateway, principal: Principal, client_id: str) -> Session:
    """The session of a client identifier that is the device's own. Raises `RefusedError`."""
    for session in gateway.broker.sessions(principal.tenant_id, principal.name):
        if session.client_id == client_id and not session.principal.is_operator:
            return session
    if client_id != principal.name:
        raise RefusedError(HTTPStatus.FORBIDDEN, f"{principal.name} has no session by the name {client_id[:128]!r}")
    raise RefusedError(HTTPStatus.NOT_FOUND, f"{client_id} has no session")


HANDLERS = (get_connection, list_subscriptions, end_connection)
