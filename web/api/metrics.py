"""`/metrics`: the gateway's own figures, for Prometheus and whatever reads its format."""

from http import HTTPStatus
from typing import Any

from litestar import Request, Response, get
from litestar.di import NamedDependency

from appliance.errors import NotSignedInError
from appliance.gateway import Gateway
from appliance.registry.model import DEFAULT_TENANT
from appliance.stream.model import ConsumerView
from appliance.vitals.exposition import written
from appliance.vitals.families import families
from appliance.vitals.model import ConsumerLag, Release
from web.accepting import form_for
from web.auth import OPEN, SESSION_COOKIE, bearer_token
from web.errors import problem


# It looks itself at who asks: scripts show a token, which opens only `/v1` elsewhere, and some networks nothing.
@get("/metrics", opt={**OPEN}, include_in_schema=False)
async def get_metrics(request: Request[Any, Any, Any], gateway: NamedDependency[Gateway]) -> Response[Any]:
    """Every figure, as the tenant of whoever asks may see it."""
    try:
        tenant_id = await _tenant_of(request, gateway)
    except NotSignedInError as error:
        # A program asks: to it, a way to the sign-in page would look like an answer.
        return problem(HTTPStatus.UNAUTHORIZED, error.code, str(error))
    vitals = gateway.vitals
    release = Release(gateway.version, gateway.started_at)
    form = form_for(request.headers.get("accept", ""))
    snapshot, views = await vitals.look(), await gateway.stream.views(tenant_id)
    counts = vitals.counts(tenant_id, tuple(_lag_of(view, snapshot.now) for view in views))
    text = written(families(snapshot, release, counts), form)
    return Response(text, headers={"content-type": form.value, "vary": "accept"})


async def _tenant_of(request: Request[Any, Any, Any], gateway: Gateway) -> int:
    """Whose figures are asked for. Raises `NotSignedInError`."""
    token, session = bearer_token(request), request.cookies.get(SESSION_COOKIE, "")
    if token is not None:
        # The least role may read them, so any will do.
        return (await gateway.accounts.user_of_token(token)).tenant_id
    if session:
        return (await gateway.accounts.user_of_session(session)).tenant_id
    if request.client is not None and gateway.vitals.access.is_open_to(request.client.host):
        return DEFAULT_TENANT
    raise NotSignedInError("Send a token as `Authorization: Bearer hw_…`, or list this network in metrics.networks.")


def _lag_of(view: ConsumerView, now: int) -> ConsumerLag:
    lag = view.lag
    lag_ms = 0 if lag.oldest_at is None else max(0, now - lag.oldest_at)
    return ConsumerLag(view.consumer.name, lag.report_count, lag.size_bytes, lag_ms)


HANDLERS = (get_metrics,)
