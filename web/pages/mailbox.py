"""The local mailbox: what would have gone out by e-mail on a gateway without a mail server."""

import asyncio

from litestar import get
from litestar.di import NamedDependency
from litestar.response import Template

from appliance.errors import NotFoundError
from appliance.gateway import Gateway
from web.shell import Frame


@get("/mailbox", include_in_schema=False)
async def show_mailbox(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The newest messages. Raises `NotFoundError` when e-mail really leaves."""
    if gateway.mailbox is None:
        raise NotFoundError("This gateway sends e-mail to a real server: it has no local mailbox.")
    messages = await asyncio.to_thread(gateway.mailbox.messages)
    return Template("pages/mailbox.html", context={"frame": frame, "now": frame.now, "messages": messages})


HANDLERS = (show_mailbox,)
