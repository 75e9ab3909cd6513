"""Any text as topic filters and topic names: the first line is a name, each other one a filter.

Run long as `python -m tests.fuzz.topics --minutes 10`.
"""

import re
import sys

from broker.errors import ProtocolError
from broker.limits import Limits
from broker.message import Message
from broker.packets import Subscription
from broker.retained import RetainedMessages
from broker.subscriptions import SubscriptionTree
from broker.topics import check_name, filter_fault, matches, shared_parts
from tests.fuzz import corpus, mutation
from tests.fuzz.search import Target, main

_LIMITS = Limits(topic_bytes=200, topic_levels=12)
_FILTERS_LIMIT = 8


def check(data: bytes) -> None:
    """A filter is fine or has a fault, and all that answer whether it matches a name agree."""
    name, *filters = data.decode(errors="replace").split("\n")[: _FILTERS_LIMIT + 1]
    faults = {topic_filter: filter_fault(topic_filter, _LIMITS) for topic_filter in filters}
    try:
        check_name(name, _LIMITS)
    except ProtocolError:
        return
    assert filter_fault(name, _LIMITS) is None or name.startswith("$share")
    _check_matching(name, [topic_filter for topic_filter, fault in faults.items() if fault is None])


def _check_matching(name: str, filters: list[str]) -> None:
    tree: SubscriptionTree[int] = SubscriptionTree()
    for number, topic_filter in enumerate(filters):
        tree.add(number, Subscription(topic_filter, 0))
    found = tree.match(name)
    reached = {target.subscriber for target in found.targets} | {
        member for group in found.groups for member in group.members
    }
    retained = RetainedMessages(_LIMITS)
    message = Message(1, "", "", name, b"x", 0, True, 0)
    retained.keep(message)
    for number, topic_filter in enumerate(filters):
        plain = shared_parts(topic_filter)[1]
        is_match = _is_match(plain, name)
        assert matches(plain, name) == is_match
        assert (number in reached) == is_match
        assert list(retained.matching(plain, 0)) == [message] * is_match
    for number, topic_filter in enumerate(filters):
        tree.remove(number, topic_filter)
    assert tree.is_empty


def _is_match(topic_filter: str, name: str) -> bool:
    """The words of section 4.7 as an expression."""
    if name.startswith("$") and topic_filter[:1] in {"+", "#"}:
        return False
    expression = "/".join("[^/]*" if level == "+" else re.escape(level) for level in topic_filter.split("/"))
    if topic_filter == "#":
        expression = ".*"
    elif topic_filter.endswith("/#"):
        expression = expression.removesuffix("/" + re.escape("#")) + "(/.*)?"
    return re.fullmatch(expression, name, re.DOTALL) is not None


TARGET = Target(
    "topics",
    check,
    mutation.of_bytes,
    seeds=corpus.read_texts,
    # What found a fault is kept as it is.
    written=lambda data: data.decode(errors="replace") + "\n",
)

if __name__ == "__main__":
    sys.exit(main(TARGET))
