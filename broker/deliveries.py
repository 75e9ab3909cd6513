"""The outgoing half of a session: what waits for a client, and what is in flight to it. Section 4.4.

Rules: no more in flight than the client's window; in the order in which messages came; a packet
identifier stays with its message until the client has answered for it.
"""

from collections import deque
from collections.abc import Iterator
from itertools import chain

from broker.changes import Delivery
from broker.limits import Limits

LARGEST_PACKET_ID = 65_535


class Budget:
    """What the queues of all clients, and what is in flight to all of them, may come to, in bytes of messages."""

    __slots__ = ("in_flight_bytes", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        """The limit holds for the queues, and once more for what is in flight."""
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        """Of the queues."""
        self.in_flight_bytes = 0


class Deliveries:
    """The messages of QoS 1 and 2 for one client that it has not answered for."""

    __slots__ = (
        "_budget",
        "_in_flight",
        "_in_flight_bytes",
        "_last_packet_id",
        "_limits",
        "_queue",
        "_queue_bytes",
        "window",
    )

    def __init__(self, limits: Limits, budget: Budget) -> None:
        self.window = 0
        """How many may be in flight: the receive maximum of the client; 0 while it is away."""
        self._limits = limits
        self._budget = budget
        # Most sessions never wait for anything: an empty queue would be the largest part of them.
        self._queue: deque[Delivery] | None = None
        self._queue_bytes = 0
        self._in_flight: dict[int, Delivery] = {}
        self._in_flight_bytes = 0
        self._last_packet_id = 0

    def __iter__(self) -> Iterator[Delivery]:
        """Every delivery that is not over, in order."""
        return chain(self._in_flight.values(), self._queue or ())

    def __len__(self) -> int:
        """Count the deliveries that are not over."""
        return len(self._in_flight) + len(self._queue or ())

    @property
    def has_queue(self) -> bool:
        """Whether anything waits for its turn."""
        return bool(self._queue)

    def connect(self, receive_maximum: int) -> None:
        """Take a new connection: all that was in flight goes out again, first of all [MQTT-4.4.0-1]."""
        self.window = min(receive_maximum, self._limits.in_flight)
        again = [*self._in_flight.values()]
        self._land()
        if again:
            self._queue = deque(chain(again, self._queue or ()))
            for delivery in again:
                self._hold(delivery)

    def disconnect(self) -> None:
        """Send nothing more until the next connection."""
        self.window = 0

    def restore(self, delivery: Delivery) -> None:
        """Put back what was kept; in order, before the first connection."""
        delivery.size_bytes = delivery.message.size_bytes
        self._enqueue(delivery)
        self._last_packet_id = max(self._last_packet_id, delivery.packet_id)

    def push(self, delivery: Delivery) -> bool | None:
        """Take a delivery. True: send it now. False: it waits. None: there is no room, it is dropped."""
        in_flight = self._in_flight
        budget = self._budget
        if (
            not self._queue
            and len(in_flight) < self.window
            and self._in_flight_bytes < self._limits.in_flight_bytes
            and (budget.in_flight_bytes < budget.limit_bytes or not in_flight)
        ):
            # As `_dispatch` does it, for what is new: this is gone by the million.
            number = self._last_packet_id + 1
            if number > LARGEST_PACKET_ID or number in in_flight:
                number = self._free_packet_id()
            self._last_packet_id = delivery.packet_id = number
            in_flight[number] = delivery
            self._in_flight_bytes += delivery.size_bytes
            budget.in_flight_bytes += delivery.size_bytes
            return True
        size = delivery.size_bytes
        limits = self._limits
        if (
            (self._queue is not None and len(self._queue) >= limits.queue_messages)
            or self._queue_bytes + size > limits.queue_bytes
            or budget.used_bytes + size > budget.limit_bytes
        ):
            return None
        self._enqueue(delivery)
        return False

    def next(self) -> tuple[Delivery, bool] | None:
        """The next delivery to be sent, and whether it was sent before; None when none may be."""
        if not self._queue or not self._is_open:
            return None
        delivery = self._queue.popleft()
        self._release(delivery)
        was_sent = delivery.packet_id > 0
        self._dispatch(delivery)
        return delivery, was_sent

    def find(self, packet_id: int) -> Delivery | None:
        """What is in flight with this packet identifier."""
        return self._in_flight.get(packet_id)

    def finish(self, packet_id: int) -> Delivery | None:
        """The client has answered for it; gives what was in flight with this packet identifier."""
        delivery = self._in_flight.pop(packet_id, None)
        if delivery is not None:
            self._in_flight_bytes -= delivery.size_bytes
            self._budget.in_flight_bytes -= delivery.size_bytes
        return delivery

    def withdraw(self, number: int, *, even_sent: bool = False) -> bool:
        """Take back a delivery that still waits, or one that was sent, too; whether it did."""
        if even_sent:
            for packet_id, delivery in self._in_flight.items():
                if delivery.number == number:
                    return self.finish(packet_id) is not None
        for delivery in self._queue or ():
            if delivery.number == number and (even_sent or not delivery.packet_id):
                assert self._queue is not None  # noqa: S101  for the type checker
                self._queue.remove(delivery)
                self._release(delivery)
                return True
        return False

    def clear(self) -> None:
        """Give everything up: the session has ended."""
        for delivery in self._queue or ():
            self._release(delivery)
        self._queue = None
        self._land()

    @property
    def _is_open(self) -> bool:
        """Whether one more may be in flight; one always may, so that everybody gets on."""
        count = len(self._in_flight)
        if count >= self.window or self._in_flight_bytes >= self._limits.in_flight_bytes:
            return False
        return not count or self._budget.in_flight_bytes < self._budget.limit_bytes

    def _land(self) -> None:
        """Have nothing in flight."""
        self._in_flight.clear()
        self._budget.in_flight_bytes -= self._in_flight_bytes
        self._in_flight_bytes = 0

    def _enqueue(self, delivery: Delivery) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(delivery)
        self._hold(delivery)

    def _hold(self, delivery: Delivery) -> None:
        size = delivery.size_bytes
        self._queue_bytes += size
        self._budget.used_bytes += size

    def _release(self, delivery: Delivery) -> None:
        size = delivery.size_bytes
        self._queue_bytes -= size
        self._budget.used_bytes -= size

    def _dispatch(self, delivery: Delivery) -> None:
        if not delivery.packet_id:
            delivery.packet_id = self._free_packet_id()
        self._in_flight[delivery.packet_id] = delivery
        self._in_flight_bytes += delivery.size_bytes
        self._budget.in_flight_bytes += delivery.size_bytes

    def _free_packet_id(self) -> int:
        number = self._last_packet_id % LARGEST_PACKET_ID + 1
        # Ends: the window is smaller than the range of identifiers. What was sent before goes out before this,
        # so every identifier in use is in flight.
        while number in self._in_flight:
            number = number % LARGEST_PACKET_ID + 1
        self._last_packet_id = number
        return number
