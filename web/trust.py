"""Plain HTTP: how to trust this gateway's certificate, and the way to HTTPS for everything else."""

from urllib.parse import quote, urlsplit

from litestar import Litestar, Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Redirect, Template
from litestar.template import TemplateConfig

from appliance.gateway import Gateway
from web.assets import Assets
from web.errors import HANDLERS as ERROR_HANDLERS
from web.framework import Framework
from web.pki import give_revocation_list
from web.protection import add_headers
from web.static_files import static_file
from web.templating import FOLDER, environment

CERTIFICATE_NAME = "headworks-web-ca.crt"


def create_trust_app(gateway: Gateway, names: frozenset[str], https_port: int) -> Litestar:
    """The application of the plain port. It tells nothing that is not meant for everybody.

    `names` are the host names by which this gateway may be called.
    """
    assets = Assets(FOLDER / "static")
    templates = environment(assets)

    def provide_gateway() -> Gateway:
        return gateway

    def provide_names() -> frozenset[str]:
        return names

    def provide_https_port() -> int:
        return https_port

    def provide_assets() -> Assets:
        return assets

    return Framework(
        route_handlers=[show_trust, download_certificate, give_revocation_list, redirect, static_file],
        dependencies={
            "gateway": Provide(provide_gateway, sync_to_thread=False),
            "names": Provide(provide_names, sync_to_thread=False),
            "https_port": Provide(provide_https_port, sync_to_thread=False),
            "assets": Provide(provide_assets, sync_to_thread=False),
        },
        exception_handlers=ERROR_HANDLERS,
        before_send=[add_headers],
        template_config=TemplateConfig(instance=JinjaTemplateEngine.from_environment(templates)),
        openapi_config=None,
        logging_config=None,
    )


@get("/trust")
async def show_trust(
    request: Request[None, None, State],
    gateway: NamedDependency[Gateway],
    names: NamedDependency[frozenset[str]],
    https_port: NamedDependency[int],
) -> Template:
    """The fingerprint of the web CA, its certificate, and what to do with it on each system."""
    context = {
        "fingerprint": gateway.registry.web_ca_fingerprint,
        "certificate_name": CERTIFICATE_NAME,
        "address": secure_address(request, names, https_port),
    }
    return Template("pages/trust.html", context=context)


@get(f"/{CERTIFICATE_NAME}")
async def download_certificate(gateway: NamedDependency[Gateway]) -> Response[bytes]:
    """The certificate of the web CA, PEM."""
    return Response(
        gateway.registry.web_ca_path.read_bytes(),
        media_type="application/x-x509-ca-cert",
        headers={"content-disposition": f'attachment; filename="{CERTIFICATE_NAME}"'},
    )


@get(["/", "/{path:path}"])
async def redirect(
    request: Request[None, None, State],
    names: NamedDependency[frozenset[str]],
    https_port: NamedDependency[int],
) -> Redirect:
    """Lead to the same place over HTTPS."""
    path, query = request.scope["path"].lstrip("/"), request.scope["query_string"].decode("latin-1")
    address = secure_address(request, names, https_port) + quote(path, safe="/:")
    return Redirect(f"{address}?{query}" if query else address, status_code=307)


def secure_address(request: Request[None, None, State], names: frozenset[str], https_port: int) -> str:
    """The address of the dashboard for who asks.

    The name that was asked for is used only if it is one of ours; otherwise the address that the
    connection has reached. What a stranger writes into `Host` never comes back.
    """
    asked = _host_name(request.headers.get("host", ""))
    server = request.scope.get("server")
    host = asked if asked in names else server[0] if server else "localhost"
    return f"https://[{host}]:{https_port}/" if ":" in host else f"https://{host}:{https_port}/"


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
