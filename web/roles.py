"""Who may do what: the least role for every route. What has no row here is for owners."""

from collections.abc import Mapping

from litestar.enums import ScopeType
from litestar.exceptions import PermissionDeniedException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from appliance.accounts.model import Role

RANK: Mapping[Role, int] = {Role.VIEWER: 0, Role.INSTALLER: 1, Role.OPERATOR: 2, Role.OWNER: 3}
"""Each role may do what those of a lower rank may."""

SOCKET = "WEBSOCKET"
"""Stands for the method of a route that has none."""

_FOR_VIEWERS = (
    "GET /",
    "GET /alerts",
    "GET /commands",
    "GET /commands/batches",
    "GET /commands/batches/{batch_id}",
    "GET /device-export.csv",
    "GET /device-types",
    "GET /device-types/commands",
    "GET /devices",
    "GET /devices/{device_id}",
    "GET /devices/{device_id}/certificates",
    "GET /devices/{device_id}/commands",
    "GET /devices/{device_id}/connections",
    "GET /devices/{device_id}/policy",
    "GET /devices/{device_id}/shadow",
    "GET /devices/{device_id}/tokens",
    "GET /ingestion",
    "GET /jobs",
    "GET /jobs/{job_id}",
    "GET /mailbox",
    "GET /mapping-rules",
    "GET /mapping-rules/{name}",
    "GET /policies",
    "GET /policies/{name}",
    "GET /readings",
    "GET /settings",
    "GET /storage",
    "GET /stream",
    "GET /v1/alert-rules",
    "GET /v1/alerts",
    "GET /v1/clock",
    "GET /v1/command-batches",
    "GET /v1/command-batches/{batch_id}",
    "GET /v1/commands",
    "GET /v1/commands/{execution_id}",
    "GET /v1/device-exports",
    "GET /v1/device-filters",
    "GET /v1/device-groups",
    "GET /v1/device-types",
    "GET /v1/device-types/{name}",
    "GET /v1/device-types/{name}/commands",
    "GET /v1/device-types/{name}/commands/{command}",
    "GET /v1/devices",
    "GET /v1/devices/{device_id}",
    "GET /v1/devices/{device_id}/certificates",
    "GET /v1/devices/{device_id}/commands",
    "GET /v1/devices/{device_id}/connections",
    "GET /v1/devices/{device_id}/jobs",
    "GET /v1/jobs",
    "GET /v1/jobs/{job_id}",
    "GET /v1/jobs/{job_id}/executions",
    "GET /v1/jobs/{job_id}/executions/{device_id}",
    "GET /v1/devices/{device_id}/packets",
    "GET /v1/devices/{device_id}/quality",
    "GET /v1/devices/{device_id}/policy",
    "GET /v1/devices/{device_id}/sessions",
    "GET /v1/devices/{device_id}/shadow",
    "GET /v1/devices/{device_id}/shadow/history",
    "GET /v1/devices/{device_id}/shadows",
    "GET /v1/devices/{device_id}/telemetry",
    "GET /v1/devices/{device_id}/tokens",
    "GET /v1/mapping-rules",
    "GET /v1/mapping-rules/{name}",
    "GET /v1/openapi",
    "GET /v1/openapi.json",
    "GET /v1/openapi/openapi.json",
    "GET /v1/openapi/{path}",
    "GET /v1/policies",
    "GET /v1/policies/{name}",
    "GET /v1/prometheus/api/v1/label/{name}/values",
    "GET /v1/prometheus/api/v1/labels",
    "GET /v1/prometheus/api/v1/metadata",
    "GET /v1/prometheus/api/v1/query",
    "GET /v1/prometheus/api/v1/query_range",
    "GET /v1/prometheus/api/v1/rules",
    "GET /v1/prometheus/api/v1/series",
    "GET /v1/prometheus/api/v1/status/buildinfo",
    "GET /v1/status",
    "GET /v1/storage",
    "GET /v1/stream",
    "GET /v1/stream/consumers",
    "GET /v1/telemetry",
    "GET /v1/telemetry/export",
    "GET /v1/tenants/{tenant_id}/telemetry/latest",
    "POST /sign-out",
    "POST /v1/devices/{device_id}/policy/test",
    "POST /v1/mapping-rules/try",
    "POST /v1/prometheus/api/v1/labels",
    "POST /v1/prometheus/api/v1/query",
    "POST /v1/prometheus/api/v1/query_range",
    "POST /v1/prometheus/api/v1/series",
    "WEBSOCKET /live",
)

_FOR_INSTALLERS = (
    "DELETE /v1/enrolment/codes/{code_number}",
    "GET /claims",
    "GET /device-import",
    "GET /enrolment",
    "GET /enrolment/knocks/{knock_number}",
    "GET /v1/claims",
    "GET /own-authorities",
    "GET /v1/enrolment/certificates",
    "GET /v1/enrolment/codes",
    "GET /v1/enrolment/knocks",
    "GET /v1/own-authorities",
    "GET /v1/provisioning-templates",
    "POST /device-import",
    "POST /devices",
    "POST /devices/{device_id}/bundle",
    "POST /devices/{device_id}/certificate-requests",
    "POST /devices/{device_id}/tokens",
    "POST /enrolment/codes",
    "POST /enrolment/codes/{code_number}/revoke",
    "POST /enrolment/knocks/{knock_number}/accept",
    "POST /enrolment/knocks/{knock_number}/refuse",
    "POST /own-authorities/certificates/{certificate_number}/accept",
    "POST /own-authorities/certificates/{certificate_number}/refuse",
    "POST /v1/device-imports",
    "POST /v1/device-imports/bundles",
    "POST /v1/devices",
    "POST /v1/devices/{device_id}/bundle",
    "POST /v1/devices/{device_id}/certificate-requests",
    "POST /v1/devices/{device_id}/certificates",
    "POST /v1/devices/{device_id}/tokens",
    "POST /v1/enrolment/certificates/{certificate_number}/accept",
    "POST /v1/enrolment/certificates/{certificate_number}/refuse",
    "POST /v1/enrolment/codes",
    "POST /v1/enrolment/knocks/{knock_number}/accept",
    "POST /v1/enrolment/knocks/{knock_number}/refuse",
)

_FOR_OPERATORS = (
    "DELETE /v1/device-filters/{name}",
    "DELETE /v1/device-types/{name}",
    "DELETE /v1/device-types/{name}/commands/{command}",
    "DELETE /v1/devices/{device_id}/certificates/{fingerprint}",
    "DELETE /v1/devices/{device_id}/packets",
    "DELETE /v1/devices/{device_id}/sessions",
    "DELETE /v1/devices/{device_id}/shadow",
    "DELETE /v1/devices/{device_id}/tokens/{token_number}",
    "DELETE /v1/jobs/{job_id}",
    "DELETE /v1/jobs/{job_id}/executions/{device_id}",
    "DELETE /v1/mapping-rules/{name}",
    "DELETE /v1/own-authorities/{authority_number}",
    "DELETE /v1/policies/{name}",
    "DELETE /v1/provisioning-templates/{name}",
    "DELETE /v1/stream/consumers/{name}",
    "GET /audit",
    "GET /commands/new",
    "GET /devices/{device_id}/certificates/{fingerprint}/revoke",
    "GET /devices/{device_id}/edit",
    "GET /issuers",
    "GET /issuers/{fingerprint}/revoke",
    "GET /jobs/new",
    "GET /v1/audit",
    "GET /v1/audit-exports",
    "GET /v1/issuers",
    "PATCH /v1/alert-rules/{rule_id}",
    "PATCH /v1/device-types/{name}",
    "PATCH /v1/devices/{device_id}",
    "POST /alert-rules",
    "POST /alert-rules/{rule_id}",
    "POST /alerts/{alert_id}/acknowledge",
    "POST /claims",
    "POST /claims/{claim_number}/revoke",
    "POST /commands/batches",
    "POST /commands/batches/{batch_id}/cancel",
    "POST /device-filters",
    "POST /device-filters/remove",
    "POST /device-types",
    "POST /device-types/commands",
    "POST /device-types/commands/remove",
    "POST /device-types/remove",
    "POST /devices/{device_id}/certificates/{fingerprint}/revoke",
    "POST /devices/{device_id}/commands",
    "POST /devices/{device_id}/commands/{execution_id}/cancel",
    "POST /devices/{device_id}/edit",
    "POST /devices/{device_id}/packets",
    "POST /devices/{device_id}/sessions/end",
    "POST /devices/{device_id}/shadow",
    "POST /devices/{device_id}/shadow/remove",
    "POST /devices/{device_id}/state",
    "POST /devices/{device_id}/tokens/{token_number}/revoke",
    "POST /issuers/{fingerprint}/revoke",
    "POST /jobs",
    "POST /jobs/{job_id}/cancel",
    "POST /jobs/{job_id}/delete",
    "POST /jobs/{job_id}/executions/{device_id}/cancel",
    "POST /mapping-rules",
    "POST /mapping-rules/{name}/remove",
    "POST /own-authorities",
    "POST /own-authorities/certificates/{certificate_number}/reconsider",
    "POST /own-authorities/codes",
    "POST /own-authorities/{authority_number}",
    "POST /own-authorities/{authority_number}/remove",
    "POST /policies",
    "POST /policies/{name}/remove",
    "POST /provisioning-templates",
    "POST /provisioning-templates/{name}/remove",
    "POST /v1/alert-rules",
    "POST /v1/alerts/{alert_id}/acknowledge",
    "POST /readings/import",
    "POST /settings/clock",
    "POST /v1/claims",
    "POST /v1/claims/{claim_number}/revoke",
    "POST /v1/clock/reset",
    "POST /v1/command-batches/{batch_id}/cancel",
    "POST /v1/commands",
    "POST /v1/commands/{execution_id}/cancel",
    "POST /v1/devices/{device_id}/commands",
    "POST /v1/devices/{device_id}/shadow",
    "POST /v1/device-types",
    "POST /v1/enrolment/certificates/{certificate_number}/reconsider",
    "POST /v1/issuers/{fingerprint}/revoke",
    "POST /v1/jobs",
    "POST /v1/jobs/{job_id}/cancel",
    "POST /v1/jobs/{job_id}/executions/{device_id}/cancel",
    "POST /v1/own-authorities",
    "POST /v1/own-authorities/codes",
    "POST /v1/provisioning-templates",
    "POST /stream/consumers",
    "POST /stream/consumers/{name}/remove",
    "POST /v1/revocations",
    "POST /v1/stream/consumers",
    "POST /v1/telemetry/imports",
    "PUT /v1/device-filters/{name}",
    "PUT /v1/device-types/{name}/commands/{command}",
    "PUT /v1/devices/{device_id}/packets",
    "PUT /v1/devices/{device_id}/state",
    "PUT /v1/mapping-rules/{name}",
    "PUT /v1/own-authorities/{authority_number}",
    "PUT /v1/policies/{name}",
    "PUT /v1/stream/consumers/{name}",
)

_FOR_OWNERS = (
    "DELETE /v1/devices/{device_id}/telemetry",
    "DELETE /v1/telemetry",
    "GET /device-erase",
    "POST /device-erase",
    "POST /devices/{device_id}/telemetry/erase",
    "POST /tokens",
    "POST /tokens/{token_id}/revoke",
)

LEAST: Mapping[str, Role] = {
    **dict.fromkeys(_FOR_VIEWERS, Role.VIEWER),
    **dict.fromkeys(_FOR_INSTALLERS, Role.INSTALLER),
    **dict.fromkeys(_FOR_OPERATORS, Role.OPERATOR),
    **dict.fromkeys(_FOR_OWNERS, Role.OWNER),
}
"""Method and path of each route that wants to know who asks, as the reference writes them."""


class RightRole(ASGIMiddleware):
    """Lets through who may do this; it is known already who asks."""

    scopes = (ScopeType.HTTP, ScopeType.WEBSOCKET)
    exclude_opt_key = "is_open"

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Go on, or raise `PermissionDeniedException`."""
        role: Role = scope["user"].role
        least = least_role(str(scope.get("method", SOCKET)), scope["path_template"])
        if not is_enough(role, least):
            raise PermissionDeniedException(
                f"This needs the role {least.value}; you are signed in as {role.value}. "
                "An owner of this gateway can do it, or give you that role."
            )
        await next_app(scope, receive, send)


def least_role(method: str, path: str) -> Role:
    """The least role for a route, its path as it was declared. To ask what there is tells nobody anything."""
    if method == "OPTIONS":
        return Role.VIEWER
    return LEAST.get(f"{method} {path}", Role.OWNER)


def require_owner(role: Role) -> None:
    """Raise `PermissionDeniedException` when a part of what is asked for is for owners, and this is none."""
    if not is_enough(role, Role.OWNER):
        raise PermissionDeniedException(f"Erasing needs the role owner; you are signed in as {role.value}.")


def is_enough(role: Role, least: Role) -> bool:
    """Whether a role may do what needs that one at least."""
    return RANK[role] >= RANK[least]
