"""TLS handshakes away from the event loop: a few at once, in a few threads, of which none ever waits for bytes.

The loop waits until a whole ClientHello can be read, looks at it without taking it, and lets the guest in when
there is a slot. Then threads and the loop take turns: a step of the handshake belongs to a thread, waiting for the
client to the loop. What a thread has, the loop leaves alone until it is given back.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import msgspec

from broker.client_hello import ClientHello, Foreign, Incomplete, read_client_hello
from broker.limits import Limits
from broker.poller import READABLE, Poller
from broker.tls import explained
from broker.traffic import NOT_NOW
from broker.workers import Workers

PATIENCE_S = 0.2
"""How long a client may think in the midst of a handshake before its slot is lent to one that waits."""
SLOW_PER_SLOT = 10
"""Clients that think longer, for each slot; beyond them the one that thinks longest is refused."""
TICK_S = 0.1
"""How often it is looked who is late: no time limit is kept more exactly."""
LATE_PER_TURN = 64


class HandOver(msgspec.Struct, frozen=True):
    """The choice to leave a connection to someone else.

    `to` gets the socket, from which nothing was taken, what the client asked for, and its address.
    """

    to: Callable[[socket.socket, ClientHello, str], None]


Choice = Callable[[ClientHello], ssl.SSLContext | HandOver]
"""Decides what becomes of a client by what it asks for."""


class Greeted(msgspec.Struct, frozen=True):
    """The handshake is done."""

    tls: ssl.SSLSocket


class HandedOver(msgspec.Struct, frozen=True):
    """Someone else takes the connection, its handshake included."""

    hello: ClientHello
    to: Callable[[socket.socket, ClientHello, str], None]


class TurnedAway(msgspec.Struct, frozen=True):
    """There will be no connection; without a kind it is the listener that went away, not the client."""

    kind: str
    reason: str


Outcome = Greeted | HandedOver | TurnedAway


class Guest:
    """A connection that is not let in yet."""

    __slots__ = (
        "address",
        "choose",
        "context",
        "failure",
        "fd",
        "has_slot",
        "is_gone",
        "is_watched",
        "is_with_worker",
        "needs_more",
        "opened_at",
        "seen_bytes",
        "sock",
        "then",
        "waits_for_bytes",
    )
    context: ssl.SSLContext
    then: Callable[["Guest"], None]
    """What is to be done when there are bytes."""

    def __init__(self, sock: socket.socket, address: str, choose: Choice, opened_at: float) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.address = address
        self.choose = choose
        self.opened_at = opened_at
        self.seen_bytes = 0
        self.waits_for_bytes = 1
        self.has_slot = self.is_gone = self.is_watched = self.is_with_worker = False
        self.needs_more = False
        """What the last step came to; `failure` is why there is no other."""
        self.failure = ""

    def readable(self) -> None:
        """Hear that there are bytes, or that there will be none."""
        self.then(self)

    def write(self) -> None:
        """Hear that there is room, which nobody has asked for."""

    def step(self) -> None:
        """Go on with the handshake as far as the bytes reach that are there; in a thread, which waits for none."""
        if self.is_gone:
            return
        self.needs_more = False
        # Until it is known better: a defect lets nobody in.
        self.failure = "the handshake broke off"
        try:
            if not isinstance(self.sock, ssl.SSLSocket):
                self.sock = self.context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
            self.sock.do_handshake()
            self.failure = ""
        except ssl.SSLWantReadError:
            self.failure = ""
            self.needs_more = True
        except ssl.SSLWantWriteError:
            # A handshake's few kilobytes always fit into a fresh socket; a client for which they do not is stalling.
            self.failure = "the client does not take the server's certificate"
        except OSError as error:
            self.failure = explained(error)


class Handshakes:
    """Everyone who is on the way through a handshake, on all listeners of a broker."""

    def __init__(
        self,
        finished: Callable[[Guest, Outcome], None],
        poller: Poller,
        limits: Limits,
        thread_count: int,
    ) -> None:
        self._finished = finished
        self._poller = poller
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._workers = Workers(thread_count, self._loop, self._stepped)
        # In the order of their arrival, which is that of their deadlines.
        self._guests: dict[Guest, None] = {}
        self._queued: deque[Guest] = deque()
        self._slots_taken = 0
        # Who is waited for: those with a slot and since when, and those who lost theirs over it.
        self._thinking: dict[Guest, float] = {}
        self._slow: dict[Guest, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Make handshakes until the block is left; those under way then end."""
        try:
            yield
        finally:
            self._workers.stop()
            for guest in list(self._guests):
                self._finish(guest, TurnedAway("", ""))
            if self._timer is not None:
                self._timer.cancel()

    @property
    def in_flight(self) -> int:
        """Handshakes that have a slot."""
        return self._slots_taken

    def begin(self, guest: Guest) -> None:
        """Take a guest in; its socket does not block."""
        self._guests[guest] = None
        if self._timer is None:
            self._timer = self._loop.call_later(TICK_S, self._tick)
        self._look(guest)

    def leave(self, choose: Choice) -> None:
        """Forget the guests of a listener that closes."""
        for guest in [guest for guest in self._guests if guest.choose is choose]:
            self._finish(guest, TurnedAway("", ""))

    # Before there is a slot: the ClientHello.

    def _look(self, guest: Guest) -> None:
        """See what has come of the ClientHello."""
        try:
            data = guest.sock.recv(self._limits.client_hello_bytes, socket.MSG_PEEK)
        except NOT_NOW:
            self._watch(guest, self._look)
            return
        except OSError as error:
            self._fail(guest, explained(error))
            return
        if len(data) <= guest.seen_bytes:
            # Nothing new, and still it was called readable: the end of the stream follows.
            self._fail(guest, "the client went away before it had said what it wants")
            return
        match read_client_hello(data, self._limits.client_hello_bytes):
            case Incomplete(needed_bytes):
                guest.seen_bytes = len(data)
                self._wait_for(guest, needed_bytes)
                self._watch(guest, self._look)
            case Foreign(reason):
                self._finish(guest, TurnedAway("not_tls", reason))
            case ClientHello() as hello:
                self._wait_for(guest, 1)
                self._unwatch(guest)
                self._choose(guest, hello)

    def _wait_for(self, guest: Guest, count: int) -> None:
        """Let the kernel call the socket readable with that many bytes only, else the loop spins on a partial hello."""
        if guest.waits_for_bytes != count:
            guest.waits_for_bytes = count
            with contextlib.suppress(OSError):  # It is gone; the next look tells.
                guest.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def _choose(self, guest: Guest, hello: ClientHello) -> None:
        choice = guest.choose(hello)
        if isinstance(choice, HandOver):
            self._finish(guest, HandedOver(hello, choice.to))
            return
        guest.context = choice
        self._queued.append(guest)
        self._admit()

    # With a slot: the steps.

    def _admit(self) -> None:
        while self._queued and self._slots_taken < self._limits.handshakes:
            guest = self._queued.popleft()
            if not guest.is_gone:
                guest.has_slot = True
                self._slots_taken += 1
                self._give(guest)

    def _give(self, guest: Guest) -> None:
        guest.is_with_worker = True
        self._workers.give(guest)

    def _stepped(self, guest: Guest) -> None:
        """Take a guest back from a thread."""
        guest.is_with_worker = False
        if guest.is_gone:
            guest.sock.close()
            self._release(guest)
            self._admit()
        elif guest.needs_more:
            self._thinking[guest] = self._loop.time()
            self._watch(guest, self._answered)
        elif guest.failure:
            self._fail(guest, guest.failure)
        elif isinstance(guest.sock, ssl.SSLSocket):
            self._finish(guest, Greeted(guest.sock))

    def _answered(self, guest: Guest) -> None:
        """Go on with one that has said more."""
        self._unwatch(guest)
        self._thinking.pop(guest, None)
        self._slow.pop(guest, None)
        if guest.has_slot:
            self._give(guest)
        else:
            self._queued.append(guest)
            self._admit()

    # The ends.

    def _tick(self) -> None:
        now = self._loop.time()
        self._lend_slots(now - PATIENCE_S)
        late = []
        for guest in islice(self._guests, LATE_PER_TURN):
            if now - guest.opened_at < self._limits.connect_timeout_s:
                break
            late.append(guest)
        for guest in late:
            reason = f"no TLS handshake within {self._limits.connect_timeout_s:g} s"
            self._finish(guest, TurnedAway("connect_timeout", reason))
        delay = 0 if len(late) == LATE_PER_TURN else TICK_S
        self._timer = self._loop.call_later(delay, self._tick) if self._guests else None

    def _lend_slots(self, since: float) -> None:
        """Let others use the slots of clients that have been thinking all the time `since`."""
        if not self._queued:
            return
        for guest, began_at in list(self._thinking.items()):
            if began_at > since:
                break
            del self._thinking[guest]
            self._slow[guest] = None
            self._release(guest)
        for guest in list(islice(self._slow, max(0, len(self._slow) - SLOW_PER_SLOT * self._limits.handshakes))):
            self._fail(guest, "the client was slow to answer while many others waited")
        self._admit()

    def _fail(self, guest: Guest, reason: str) -> None:
        self._finish(guest, TurnedAway("tls_handshake_failed", reason))

    def _finish(self, guest: Guest, outcome: Outcome) -> None:
        del self._guests[guest]
        guest.is_gone = True
        self._unwatch(guest)
        self._thinking.pop(guest, None)
        self._slow.pop(guest, None)
        if not guest.is_with_worker:
            self._release(guest)
            if isinstance(outcome, TurnedAway):
                guest.sock.close()
        self._finished(guest, outcome)
        self._admit()

    def _release(self, guest: Guest) -> None:
        self._slots_taken -= guest.has_slot
        guest.has_slot = False

    def _watch(self, guest: Guest, then: Callable[[Guest], None]) -> None:
        guest.then = then
        if not guest.is_watched:
            guest.is_watched = True
            self._poller.watch(guest.fd, guest, READABLE, self._loop)

    def _unwatch(self, guest: Guest) -> None:
        if guest.is_watched:
            guest.is_watched = False
            self._poller.watch(guest.fd, guest, 0, self._loop)
