"""Stream: who reads the event log, how far each is behind, and what it has lost."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.stream.model import ConsumerView, Start
from web.errors import status_of
from web.pages.storage import size_in_words
from web.shell import Frame


class ConsumerForm(msgspec.Struct, frozen=True):
    """A consumer as it is typed in."""

    name: str = ""
    start: Start = Start.NOW


class ConsumerLine(msgspec.Struct, frozen=True):
    """One consumer of the list."""

    name: str
    is_reading: bool
    committed_at: int
    lag: str
    oldest_at: int | None
    gap: str
    """What it has lost, in words; empty for nothing."""
    gap_until_at: int | None


@get("/stream", include_in_schema=False)
async def show_stream(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The list, and an empty form."""
    return await _page(gateway, frame, ConsumerForm())


@post("/stream/consumers", include_in_schema=False, status_code=303)
async def add_consumer(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[ConsumerForm]
) -> Response[None] | Template:
    """Add a consumer; or the page again, with what is wrong."""
    try:
        await gateway.stream.add(frame.user.tenant_id, data.name.strip(), data.start)
    except ApplianceError as error:
        page = await _page(gateway, frame, data, complaint=str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/stream"})


@post("/stream/consumers/{name:str}/remove", include_in_schema=False, status_code=303)
async def remove_consumer(
    name: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Keep the log for a consumer no longer."""
    await gateway.stream.remove(frame.user.tenant_id, name)
    return Response(None, headers={"location": "/stream"})


async def _page(gateway: Gateway, frame: Frame, form: ConsumerForm, complaint: str = "") -> Template:
    context = {
        "frame": frame,
        "now": frame.now,
        "consumers": [_line(view) for view in await gateway.stream.views(frame.user.tenant_id)],
        "hold": size_in_words(gateway.stream.hold_bytes),
        "status": gateway.stream.status(frame.user.tenant_id),
        "form": form,
        "complaint": complaint,
    }
    return Template("pages/stream.html", context=context)


def _line(view: ConsumerView) -> ConsumerLine:
    consumer, lag = view.consumer, view.lag
    told = "Nothing waits."
    if lag.report_count:
        told = f"{_reports(lag.report_count)} ({size_in_words(lag.size_bytes)}) wait."
    gap = consumer.gap
    lost = "" if gap is None else f"{_reports(gap.report_count)} lost."
    until_at = None if gap is None else gap.until_at
    return ConsumerLine(consumer.name, view.is_reading, consumer.committed_at, told, lag.oldest_at, lost, until_at)


def _reports(count: int | None) -> str:
    if count is None:
        return "An unknown number of reports"
    return "1 report" if count == 1 else f"{count:,} reports"


HANDLERS = (show_stream, add_consumer, remove_consumer)
