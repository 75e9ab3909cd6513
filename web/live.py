"""Live pages: one WebSocket a page, fed with the pieces of it that have changed.

Rules:
- What changed is looked at when something was committed, at most twice a second, once for all who
  see the same page of the same tenant.
- A page that is slow loses the updates that wait for it and gets the whole again, as it is by then.
- A socket lives no longer than the session that opened it.
"""

import asyncio
import contextlib
import functools
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from litestar import WebSocket, websocket
from litestar.di import NamedDependency
from litestar.exceptions import WebSocketDisconnect

from appliance.accounts.model import User
from appliance.alerts.model import AlertOpened, AlertResolved
from appliance.bus import Subscription
from appliance.commands.jobs.model import ExecutionsChanged
from appliance.commands.model import CommandsChanged
from appliance.errors import NotFoundError, NotSignedInError
from appliance.gateway import Gateway
from appliance.ingestion.model import PresenceChanged, ProblemsWritten
from appliance.instant import SECOND_MS
from appliance.notifications.model import NoticeAttempted
from appliance.shadows.model import ShadowChanged
from appliance.telemetry.model import ReportsCommitted
from web import shell
from web.auth import Caller
from web.painting import Paint, Painting, Part, Stage
from web.templating import Render

log = logging.getLogger(__name__)

UPDATES_LIMIT = 16
VIEWERS_LIMIT = 256
PARAMETER_LENGTH = 200
PAUSE_SECONDS = 0.5
IDLE_SECONDS = 2.0
"""Pages are looked at this often when nothing is committed: rates fall, devices go."""

KINDS = (
    ReportsCommitted,
    AlertOpened,
    AlertResolved,
    PresenceChanged,
    ProblemsWritten,
    NoticeAttempted,
    CommandsChanged,
    ExecutionsChanged,
    ShadowChanged,
)

# Codes of RFC 6455 and, from 4000, our own; `static/app.js` and htmx know them.
FAILED = 1011
GOING_AWAY = 1012
TRY_LATER = 1013
SESSION_ENDED = 4401
NOT_THERE = 4404


class Topic(NamedTuple):
    """What viewers who see the same see."""

    tenant_id: int
    page: str
    parameters: tuple[tuple[str, str], ...]


class Viewer:
    """One open page: the updates that wait for it."""

    def __init__(self, topic: Topic, session_secret: str) -> None:
        self.topic = topic
        self.session_secret = session_secret
        self.dropped_count = 0
        self.close_code: int | None = None
        self._is_new = True
        self._updates: deque[str] = deque()
        self._arrived = asyncio.Event()

    def feed(self, update: Sequence[str] | None, whole: Callable[[], Sequence[str]]) -> None:
        """Queue what changed; the whole when there is nothing to compare with or no room for changes."""
        texts = whole() if update is None or self._is_new else update
        self._is_new = False
        if len(self._updates) + len(texts) > UPDATES_LIMIT:
            self.dropped_count += len(self._updates)
            self._updates.clear()
            texts = whole()
        self._updates.extend(texts)
        if texts:
            self._arrived.set()

    def end(self, code: int) -> None:
        """Let the page's socket be closed with this code."""
        self.close_code = code
        self._arrived.set()

    async def next_update(self) -> str | None:
        """Wait for the next update; None when the socket is to be closed."""
        while not self._updates and self.close_code is None:
            self._arrived.clear()
            await self._arrived.wait()
        return None if self.close_code is not None else self._updates.popleft()


class Hub:
    """Who sees which page, and what was last sent to them."""

    def __init__(self, gateway: Gateway, painters: Mapping[str, Paint], render: Render) -> None:
        self._gateway = gateway
        self._painters = painters
        self._render = render
        self._viewers: dict[Topic, set[Viewer]] = {}
        self._shown: dict[Topic, Painting] = {}
        self._joined = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Feed the open pages; on leaving, end their sockets."""
        # One batch is enough to know that there is something to look at.
        with self._gateway.bus.subscribe(*KINDS, limit=1) as subscription:
            async with asyncio.TaskGroup() as tasks:
                feeding = tasks.create_task(self._feed(subscription), name="live pages")
                try:
                    yield
                finally:
                    feeding.cancel()
                    self.end_all(GOING_AWAY)

    @property
    def viewer_count(self) -> int:
        """How many pages are open."""
        return sum(map(len, self._viewers.values()))

    def join(self, viewer: Viewer) -> None:
        """Begin to feed a page; it soon gets the whole of it."""
        self._viewers.setdefault(viewer.topic, set()).add(viewer)
        self._joined.set()

    def leave(self, viewer: Viewer) -> None:
        """Stop feeding a page."""
        viewers = self._viewers[viewer.topic]
        viewers.discard(viewer)
        if not viewers:
            del self._viewers[viewer.topic]
            self._shown.pop(viewer.topic, None)

    def wake(self) -> None:
        """Look soon: something is new that was not committed."""
        self._joined.set()

    def end_session(self, session_secret: str) -> None:
        """Close the sockets of a session that was ended."""
        for viewer in self._all_viewers():
            if viewer.session_secret == session_secret:
                viewer.end(SESSION_ENDED)

    def end_all(self, code: int) -> None:
        """Close every socket with this code."""
        for viewer in self._all_viewers():
            viewer.end(code)

    def knows(self, page: str) -> bool:
        """Whether there is a live page of that name."""
        return page in self._painters

    async def paint_all(self, now: int) -> None:
        """Look at every page that somebody sees, and queue what changed."""
        for topic in list(self._viewers):
            try:
                await self._paint(topic, now)
            except NotFoundError:
                self._end_topic(topic, NOT_THERE)
            except Exception:  # one page that cannot be painted must not stop the gateway
                log.exception("a live page could not be painted page=%s", topic.page)
                self._end_topic(topic, FAILED)

    def _all_viewers(self) -> list[Viewer]:
        return [viewer for viewers in self._viewers.values() for viewer in viewers]

    def _end_topic(self, topic: Topic, code: int) -> None:
        for viewer in self._viewers.get(topic, ()):
            viewer.end(code)

    async def _feed(self, subscription: Subscription) -> None:
        while True:
            await self._something(subscription)
            self._joined.clear()
            await self.paint_all(shell.moment())
            # What is committed during the pause is seen by the next look, all of it at once.
            await asyncio.sleep(PAUSE_SECONDS)

    async def _something(self, subscription: Subscription) -> None:
        async with asyncio.TaskGroup() as tasks:
            waits = {
                tasks.create_task(subscription.next_batch(), name="live: a commit"),
                tasks.create_task(self._joined.wait(), name="live: a viewer"),
            }
            await asyncio.wait(waits, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _paint(self, topic: Topic, now: int) -> None:
        stage = Stage(self._gateway, topic.tenant_id, dict(topic.parameters), now)
        painting = await self._painters[topic.page](stage)
        frame = shell.live_parts(shell.pulse(self._gateway, topic.tenant_id))
        painting = Painting((*painting.whole, *frame.values()), {**painting.parts, **frame}, painting.shape)
        before = self._shown.get(topic)
        # While it was painted the last viewer may have gone.
        if topic not in self._viewers:
            return
        self._shown[topic] = painting
        update = None
        if before and (before.shape, before.parts.keys()) == (painting.shape, painting.parts.keys()):
            update = self._rendered([part for key, part in painting.parts.items() if part != before.parts[key]], now)
        whole = functools.cache(lambda: self._rendered(painting.whole, now))
        for viewer in self._viewers[topic]:
            viewer.feed(update, whole)

    def _rendered(self, parts: Sequence[Part], now: int) -> list[str]:
        """The parts as at most two updates: HTML lets rows of tables only stand among themselves."""
        texts = [self._render(part.template, {"view": part.view, "now": now}).strip() for part in parts]
        rows = [text for text in texts if text.startswith(("<tr", "<tbody"))]
        others = [text for text in texts if not text.startswith(("<tr", "<tbody"))]
        return ["".join(group) for group in (rows, others) if group]


@websocket("/live")
async def follow(
    socket: WebSocket[User, Caller, Any],
    hub: NamedDependency[Hub],
    gateway: NamedDependency[Gateway],
) -> None:
    """Feed the page named by `view` in the query; its other parameters are those of the page's address."""
    await socket.accept()
    parameters = {name: value[:PARAMETER_LENGTH] for name, value in socket.query_params.items()}
    page = parameters.pop("view", "")
    if not hub.knows(page):
        await socket.close(NOT_THERE)
        return
    if hub.viewer_count >= VIEWERS_LIMIT:
        await socket.close(TRY_LATER)
        return
    topic = Topic(socket.user.tenant_id, page, tuple(sorted(parameters.items())))
    viewer = Viewer(topic, socket.auth.session_secret)
    hub.join(viewer)
    try:
        async with asyncio.TaskGroup() as tasks:
            sides = [
                tasks.create_task(_send(socket, viewer), name="live: sending"),
                tasks.create_task(_listen(socket), name="live: listening"),
                tasks.create_task(_watch(gateway, viewer), name="live: session"),
            ]
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            for side in sides:
                side.cancel()
    finally:
        hub.leave(viewer)
    if viewer.close_code is not None:
        await socket.close(viewer.close_code)


async def _send(socket: WebSocket[User, Caller, Any], viewer: Viewer) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while (update := await viewer.next_update()) is not None:
            await socket.send_text(update)


async def _listen(socket: WebSocket[User, Caller, Any]) -> None:
    """Wait until the other side closes. Pages say nothing over this socket."""
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.receive_text()


async def _watch(gateway: Gateway, viewer: Viewer) -> None:
    """End the viewer when its session has. An open page alone does not keep a session alive."""
    try:
        while True:
            rest_ms = await gateway.accounts.session_rest_ms(viewer.session_secret)
            # It may be used meanwhile, and is then asked for again.
            await asyncio.sleep(rest_ms / SECOND_MS)
    except NotSignedInError:
        viewer.end(SESSION_ENDED)
