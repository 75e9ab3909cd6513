"""Serves static files. Their names hold their hash, so a browser asks for each once."""

from litestar import Request, Response, get
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from web.assets import PREFIX, Assets
from web.auth import OPEN


@get(PREFIX + "{name:path}", opt={**OPEN}, include_in_schema=False)
async def static_file(
    name: FromPath[str], assets: NamedDependency[Assets], request: Request[None, None, State]
) -> Response[bytes | None]:
    """One static file. Its name holds its hash, so it never changes."""
    asset = assets.find(name.lstrip("/"))
    if asset is None:
        return Response(None, status_code=404)
    headers = {"cache-control": "public, max-age=31536000, immutable", "vary": "accept-encoding"}
    if asset.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.zipped, media_type=asset.media_type, headers={**headers, "content-encoding": "gzip"})
    return Response(asset.content, media_type=asset.media_type, headers=headers)
