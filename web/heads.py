"""HEAD wherever there is GET: the same answer without its body (RFC 9110, 9.3.2)."""

from typing import Any

from litestar.types import Message

from web.framework import Framework


class Application(Framework):
    """An application in which nobody has to think of HEAD."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer HEAD as GET would be, and leave the body out."""

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        if scope["type"] == "http" and scope["method"] == "HEAD":
            asked: Any = {**scope, "method": "GET"}
            await super().__call__(asked, receive, send_head)
        else:
            await super().__call__(scope, receive, send)
