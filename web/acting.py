"""Who is acting, told to the audit log: the user or the token that asks, and from where."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from appliance.audit.acting import acting_as
from web.auth import Caller


class Acting(ASGIMiddleware):
    """Says for the whole of a request who is behind it."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on."""
        client = scope.get("client")
        with acting_as(_name(scope.get("auth")), client[0] if client else ""):
            await next_app(scope, receive, send)


def _name(caller: object) -> str:
    if not isinstance(caller, Caller):
        return "somebody who is not signed in"
    return caller.user.email
