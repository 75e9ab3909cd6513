"""The subscription tree by itself, with 100,000 subscriptions.

Run as `python -m bench.match ROUNDS`; prints `Matched` as JSON.
"""

import gc
import random
import sys
import time

import msgspec

from bench.numbers import median
from broker.packets import Subscription
from broker.subscriptions import SubscriptionTree

SUBSCRIBERS = 1_000
EXACT_EACH = 70
WILDCARDS_EACH = 30
COPIES = 2
"""How many subscribers a covered topic has: one by its name, one by a wildcard."""
TOPICS = 20_000
SEED = 1


class Matched(msgspec.Struct, frozen=True):
    """What matching costs, when nothing is remembered of the time before."""

    subscriptions: int
    wildcards: int
    added_a_second: float
    found_us: float
    """For a topic name that has subscribers."""
    missed_us: float
    """For one that has none, but shares its first levels with those that have."""


def filters_of(subscriber: int) -> tuple[str, ...]:
    """The topic filters of a subscriber: its own topics, and a part of its neighbour's with both wildcards."""
    neighbour = (subscriber + 1) % SUBSCRIBERS
    return (
        *(_topic(subscriber, line) for line in range(EXACT_EACH)),
        *(f"site/{neighbour:03d}/+/{line:02d}/#" for line in range(WILDCARDS_EACH)),
    )


def covered_topics(count: int) -> list[str]:
    """Topics that have `COPIES` subscribers each."""
    return [_topic(number % SUBSCRIBERS, number // SUBSCRIBERS % WILDCARDS_EACH) for number in range(count)]


def match(rounds: int) -> Matched:
    """Fill a tree, then match in an order by chance; the medians of some rounds."""
    tree: SubscriptionTree[int] = SubscriptionTree()
    subscriptions = [
        (subscriber, Subscription(topic_filter, 1))
        for subscriber in range(SUBSCRIBERS)
        for topic_filter in filters_of(subscriber)
    ]
    gc.freeze()
    gc.disable()
    began = time.perf_counter()
    for subscriber, subscription in subscriptions:
        tree.add(subscriber, subscription)
    took = time.perf_counter() - began
    found = covered_topics(TOPICS)
    missed = [f"{topic}/nobody" for topic in found[: TOPICS // 2]] + [f"else/{topic}" for topic in found[TOPICS // 2 :]]
    missed = [topic.replace("/line/", "/line/x") for topic in missed]
    chance = random.Random(SEED)  # noqa: S311  the same order each time, not a secret
    chance.shuffle(found)
    chance.shuffle(missed)
    return Matched(
        len(subscriptions),
        SUBSCRIBERS * WILDCARDS_EACH,
        len(subscriptions) / took,
        median([_cost_us(tree, found, COPIES) for _ in range(rounds)]),
        median([_cost_us(tree, missed, 0) for _ in range(rounds)]),
    )


def _cost_us(tree: SubscriptionTree[int], topics: list[str], subscribers: int) -> float:
    """Microseconds of processor a topic, and a look at whether it found whom it should."""
    find = tree.match
    began = time.thread_time()
    for topic in topics:
        find(topic)
    took = time.thread_time() - began
    if any(len(find(topic).targets) != subscribers for topic in topics[:100]):
        raise AssertionError("the tree found others than those who subscribed")
    return 1e6 * took / len(topics)


def _topic(subscriber: int, line: int) -> str:
    return f"site/{subscriber:03d}/line/{line:02d}/value"


if __name__ == "__main__":
    print(msgspec.json.encode(match(int(sys.argv[1]))).decode())
