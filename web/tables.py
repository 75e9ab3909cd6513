"""Devices as files to be kept: a table, and the bundles of an import."""

from litestar import Response
from litestar.response import Stream

from appliance.gateway import Gateway
from appliance.registry.catalogue.model import Imported

TABLE_LIMIT_BYTES = 16 * 1024 * 1024
"""A table of 100,000 devices with a handful of words each."""


def csv_download(text: str) -> Response[bytes]:
    """A table that a browser keeps under its name. The mark at its beginning has spreadsheets read it as UTF-8."""
    return Response(
        text.encode("utf-8-sig"),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": 'attachment; filename="devices.csv"'},
    )


def bundles_download(gateway: Gateway, imported: Imported, *, has_programs: bool) -> Stream:
    """The bundles of an import as one zip file, sent while it is made."""
    return Stream(
        gateway.catalogue.zipped(imported, gateway.registry.address, has_programs=has_programs),
        status_code=200,
        media_type="application/zip",
        headers={"content-disposition": 'attachment; filename="bundles.zip"'},
    )
