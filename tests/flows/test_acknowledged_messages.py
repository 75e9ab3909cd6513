"""The law of the broker: what it acknowledged arrives, whenever the process dies and whatever was not yet on disk.

Clients that do everything right connect, subscribe, publish, vanish and take over; the owner commits turns when
it likes; and at any moment the process is gone, and a new one knows what was committed and nothing else.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.limits import Limits
from broker.ports import Connected, Disconnected, Refused, Turn
from broker.server import Broker
from broker.topics import matches
from tests.broker.correct_client import CorrectClient, Promise
from tests.broker.stage import turn
from tests.broker.stored import FakeStore
from tests.fakes import TENANT, FakeAuthorizer

# Small windows: most of what is sent has to wait for something else.
LIMITS = Limits(in_flight=2)
NAMES = {"old": 4, "new": 5}
TOPICS = ("a", "b")
FILTERS = ("a", "#")
UNANSWERED_LIMIT = 6
ROUNDS_LIMIT = 300

names = st.sampled_from(list(NAMES))
qualities = st.sampled_from([1, 2, 2])


class SlowOwner:
    """Keeps turns until it is told to commit them."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []
        self.refused: list[Refused] = []

    def accept(self, turn: Turn) -> None:
        self.turns.append(turn)

    def note(self, event: Connected | Disconnected | Refused) -> None:
        if isinstance(event, Refused):
            self.refused.append(event)


class MortalBroker(RuleBasedStateMachine):
    """A broker whose process may die, its disk, and the clients who trust it."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.faults.append(context))
        self.faults: list[dict[str, object]] = []
        self.store = FakeStore()
        self.clients = {name: CorrectClient(name, level) for name, level in NAMES.items()}
        self.promises: dict[bytes, Promise] = {}
        self.publishers: dict[bytes, str] = {}

    @initialize()
    def start(self) -> None:
        self.begin()
        for name in self.clients:
            self.connect(name, is_clean=False, is_heard=True)
            self.subscribe(name, "a", 2, times=1)
        self.settle()

    def begin(self) -> None:
        self.owner = SlowOwner()
        self.broker = Broker(self.owner, FakeAuthorizer(), lambda: 1_000, LIMITS, self.store)
        self.broker.restore()

    # What clients do.

    @rule(name=names, is_clean=st.sampled_from([False, False, False, False, True]), is_heard=st.booleans())
    def connect(self, name: str, is_clean: bool, is_heard: bool) -> None:
        """Anew, or over the connection that there is."""
        client = self.clients[name]
        client.wants_clean_start = client.wants_clean_start or is_clean
        if client.wants_clean_start:
            for promise in self.promises.values():
                promise.subscribers.pop(name, None)
        self.do(lambda: client.connect(self.broker))
        if is_heard:
            self.read_everything(name)

    @rule(name=names, is_polite=st.booleans())
    def leave(self, name: str, is_polite: bool) -> None:
        client = self.clients[name]
        self.do(client.goodbye if is_polite and client.is_let_in else client.lose)

    @rule(name=names, topic_filter=st.sampled_from(FILTERS), qos=qualities, times=st.integers(1, 2))
    def subscribe(self, name: str, topic_filter: str, qos: int, times: int) -> None:
        """Some cannot wait and ask twice."""
        client = self.clients[name]
        self.release_from_open_promises(name)
        for _ in range(times):
            if client.is_let_in and len(client._asked) < UNANSWERED_LIMIT:
                self.do(lambda: client.subscribe(topic_filter, qos))

    @rule(name=names, topic_filter=st.sampled_from(FILTERS))
    def unsubscribe(self, name: str, topic_filter: str) -> None:
        client = self.clients[name]
        if client.is_let_in and len(client._asked) < UNANSWERED_LIMIT:
            self.release_from_open_promises(name)
            self.do(lambda: client.unsubscribe(topic_filter))

    @rule(name=names, topic=st.sampled_from(TOPICS), qos=st.lists(qualities, min_size=1, max_size=3))
    def publish(self, name: str, topic: str, qos: list[int]) -> None:
        client = self.clients[name]
        for each in qos:
            if client.is_let_in and len(client._unanswered) < UNANSWERED_LIMIT:
                promise = self.promise(name, topic, each)
                self.do(lambda promise=promise: client.publish(promise))  # type: ignore[misc]  # bound on purpose

    @rule(name=names, limit=st.integers(1, 4))
    def read(self, name: str, limit: int) -> None:
        self.do(lambda: self.clients[name].read(limit))

    @rule(name=names)
    def read_everything(self, name: str) -> None:
        while self.do(self.clients[name].read):
            pass

    # What happens to the process.

    @precondition(lambda self: self.owner.turns)
    @rule(count=st.integers(1, 5))
    def commit(self, count: int) -> None:
        committed, self.owner.turns = self.owner.turns[:count], self.owner.turns[count:]
        for each in committed:
            self.store.commit(each)
        self.do(lambda: self.broker.acknowledge([receipt for each in committed for receipt in each.receipts]))

    @rule(unheard_count=st.integers(0, 3), come_back=st.booleans())
    def die(self, unheard_count: int, come_back: bool) -> None:
        """Some turns may be on the disk without anybody having heard of it."""
        for each in self.owner.turns[:unheard_count]:
            self.store.commit(each)
        for client in self.clients.values():
            client.die()
        self.begin()
        if come_back:
            for name in self.clients:
                self.connect(name, is_clean=False, is_heard=True)

    @rule(name=names)
    def commit_and_read(self, name: str) -> None:
        """One step further for one client: what it waited for is on the disk, and it answers."""
        self.commit(len(self.owner.turns))
        self.read(name, 100)

    @precondition(lambda self: len(self.promises) % 3 == 2)
    @rule()
    def settle(self) -> None:
        """Everybody comes back and everything that is owed is done."""
        for _ in range(ROUNDS_LIMIT):
            for name, client in self.clients.items():
                if client.stream is None:
                    self.connect(name, is_clean=False, is_heard=False)
            read_count = 0
            for client in self.clients.values():
                read_count += self.do(client.read)
            if self.owner.turns:
                self.commit(len(self.owner.turns))
            elif not read_count:
                break
        else:
            raise AssertionError("it never comes to rest")
        assert all(client.is_let_in and client.is_done for client in self.clients.values())
        self.check_arrivals()

    # What must be so.

    @invariant()
    def a_confirmed_subscription_is_there(self) -> None:
        for name, client in self.clients.items():
            session = self.broker._sessions.find(TENANT, name)
            if client.is_let_in:
                assert session is not None
                assert (
                    client.granted.items()
                    <= {each.topic_filter: each.qos for each in session.subscriptions.values()}.items()
                )

    @invariant()
    def nothing_is_delivered_or_handed_over_twice_at_qos_2(self) -> None:
        taken = Counter(message.payload for message in self.store.messages)
        for payload, promise in self.promises.items():
            assert promise.qos < 2 or taken[payload] <= 1, payload
        for client in self.clients.values():
            received = Counter(payload for _, payload, qos in client.received if qos == 2)
            assert not received or max(received.values()) == 1, received

    @invariant()
    def what_is_acknowledged_is_on_the_disk(self) -> None:
        taken = {message.payload for message in self.store.messages}
        for payload, promise in self.promises.items():
            assert not promise.is_acknowledged or payload in taken

    @invariant()
    def nobody_was_refused(self) -> None:
        assert not self.owner.refused
        assert not self.faults

    def check_arrivals(self) -> None:
        for payload, promise in self.promises.items():
            if not promise.is_acknowledged:
                continue
            for name, qos in promise.subscribers.items():
                count = [each for _, each, _ in self.clients[name].received].count(payload)
                assert count == 1 if qos == 2 else count >= 1, (name, payload, count)
        for name in self.clients:
            self.check_order(name)

    def check_order(self, name: str) -> None:
        """Of each publisher, topic and quality, what came for the first time came in order [MQTT-4.6.0-6]."""
        came: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        for topic, payload, _ in self.clients[name].received:
            promise = self.promises[payload]
            key, number = (self.publishers[payload], topic, promise.qos), int(payload)
            if name in promise.subscribers and promise.is_acknowledged and number not in came[key]:
                came[key].append(number)
        for numbers in came.values():
            assert numbers == sorted(numbers), numbers

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.loop.close()

    # How it is done.

    def promise(self, publisher: str, topic: str, qos: int) -> Promise:
        """What is promised when this is acknowledged, to those whose subscription is confirmed already."""
        payload = b"%d" % len(self.promises)
        promise = self.promises[payload] = Promise(topic, qos, payload)
        self.publishers[payload] = publisher
        for name, client in self.clients.items():
            wanted = [each for topic_filter, each in client.granted.items() if matches(topic_filter, topic)]
            if wanted and not client.wants_clean_start:
                promise.subscribers[name] = min(qos, max(wanted))
        return promise

    def release_from_open_promises(self, name: str) -> None:
        """Its subscriptions change: of what is under way nobody can know whether it belongs to them."""
        for promise in self.promises.values():
            if not promise.is_acknowledged:
                promise.subscribers.pop(name, None)

    def do(self, action: Callable[[], int | None]) -> int:
        """Act within a turn of the loop, and let that turn end."""

        async def acting() -> int:
            result = action()
            await turn()
            return result or 0

        return self.loop.run_until_complete(acting())


class LongMortalBroker(MortalBroker):
    """The same, searched for longer."""


MortalBroker.TestCase.settings = settings(max_examples=100, stateful_step_count=40)
LongMortalBroker.TestCase.settings = settings(max_examples=5_000, stateful_step_count=60)
# A counter-example is made smaller before it is shown, which takes its time.
TestMortalBroker = pytest.mark.timeout(300)(MortalBroker.TestCase)
TestMortalBrokerForLong = pytest.mark.slow(pytest.mark.timeout(3_600)(LongMortalBroker.TestCase))
