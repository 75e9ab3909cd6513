"""Patterns, topics and policies to try out, and the plainest reading of what they mean."""

import re
from functools import cache
from itertools import product

from hypothesis import strategies as st

from appliance.policies.model import (
    Action,
    Comparison,
    Condition,
    Document,
    Effect,
    Kind,
    Policy,
    Resource,
    Statement,
    Subject,
)
from appliance.policies.variables import IS_ATTACHED

LETTERS = "ab/$"
TOPICS = tuple("".join(each) for length in range(1, 6) for each in product(LETTERS, repeat=length))
"""Every topic name of up to five characters over a small alphabet."""

_levels = st.sampled_from(["+", "a", "b", "ab", "", "$a", "$"])
mqtt_filters = st.builds(
    lambda levels, ending: "/".join([*levels, *ending]) or "a",
    st.lists(_levels, max_size=4),
    st.sampled_from([[], ["#"]]),
)
mixed_patterns = st.builds(
    lambda levels, ending: "/".join([*levels, *ending]) or "*",
    st.lists(st.sampled_from(["+", "a", "b", "", "$a", "*", "?", "a*", "*b", "?a", "a?*", "*a*"]), max_size=3),
    st.sampled_from([[], ["#"]]),
)
globs = st.text(alphabet="ab/$*?", min_size=1, max_size=5)
topics = st.sampled_from(TOPICS)


@cache
def expression(pattern: str, *, levels: bool, globs: bool) -> re.Pattern[str]:
    """A pattern as a regular expression, character by character."""
    if levels and pattern == "#":
        return re.compile(r"[\s\S]*")
    body, ending = (pattern[:-2], r"(?:/[\s\S]*)?") if levels and pattern.endswith("/#") else (pattern, "")
    made = []
    for level in body.split("/"):
        if levels and level == "+":
            made.append("[^/]*")
        else:
            signs = {"*": r"[\s\S]*", "?": r"[\s\S]"} if globs else {}
            made.append("".join(signs.get(sign, re.escape(sign)) for sign in level))
    return re.compile("/".join(made) + ending)


def stands_for(pattern: str, topic: str, *, levels: bool = True, globs: bool = False, denies: bool = False) -> bool:
    """Whether a pattern stands for a topic, read naively."""
    if not denies and levels and topic.startswith("$") and pattern.split("/", maxsplit=1)[0] in ("+", "#"):
        return False
    return expression(pattern, levels=levels, globs=globs).fullmatch(topic) is not None


subjects = st.builds(
    Subject,
    st.sampled_from(["a", "b", "ab"]),
    st.sampled_from(["", "a", "a/b", "+", "#", "*", "$a"]),
    st.sampled_from(["", "b"]),
    st.sampled_from(["", "a"]),
    st.sampled_from([{}, {"k": "b"}]),
)

_sids = st.sampled_from(["", "mine"])
_effects = st.sampled_from(Effect)
_about_topics = st.lists(
    st.sampled_from([Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE]), min_size=1, unique=True
)
_topic_texts = st.sampled_from(
    ["a/*", "*", "?", "${iot:Connection.Thing.ThingName}/*", "a/b", "${iot:Connection.Thing.Attributes[k]}/a", "*/b"]
)
_filter_texts = st.sampled_from(["a/*", "*", "a/+", "#", "${iot:ClientId}/#", "+/b", "a/?/#", "b/*/a"])
_client_texts = st.sampled_from(["*", "${iot:ClientId}", "a", "a-?"])
_conditions = st.sampled_from(
    [
        (),
        (Condition(Comparison.IS, IS_ATTACHED, ("true",)),),
        (Condition(Comparison.EQUALS, "iot:Connection.Thing.ThingTypeName", ("a", "b")),),
        (Condition(Comparison.NOT_LIKE, "iot:Connection.Thing.Attributes[k]", ("b*",)),),
    ]
)


def _ordered(actions: list[Action]) -> tuple[Action, ...]:
    return tuple(action for action in Action if action in actions)


def _resources(kind: Kind, texts: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Resource, ...]]:
    return st.lists(st.builds(Resource, st.just(kind), texts), min_size=1, max_size=2).map(tuple)


aws_statements = st.one_of(
    st.builds(
        Statement, _effects, st.just((Action.CONNECT,)), _resources(Kind.AWS_CLIENT, _client_texts), _conditions, _sids
    ),
    st.builds(
        Statement, _effects, _about_topics.map(_ordered), _resources(Kind.AWS_TOPIC, _topic_texts), _conditions, _sids
    ),
    st.builds(
        Statement,
        _effects,
        st.just((Action.SUBSCRIBE,)),
        _resources(Kind.AWS_TOPIC_FILTER, _filter_texts),
        _conditions,
        _sids,
    ),
    st.builds(
        Statement,
        _effects,
        st.lists(st.sampled_from(Action), min_size=1, unique=True).map(_ordered),
        st.just((Resource(Kind.ANY, "*"),)),
        _conditions,
        _sids,
    ),
)
native_statements = st.builds(
    Statement,
    _effects,
    st.lists(st.sampled_from(list(Action)[1:]), min_size=1).map(_ordered),
    st.lists(
        st.builds(Resource, st.just(Kind.FILTER), mqtt_filters | st.sampled_from(["{device_id}/#", "a/{type}/+"])),
        min_size=1,
        max_size=2,
    ).map(tuple),
)
statements = aws_statements | native_statements
aws_documents = st.lists(aws_statements, min_size=1, max_size=4).map(lambda each: Document(tuple(each)))
native_documents = st.builds(Document, st.lists(native_statements, min_size=1, max_size=4).map(tuple), st.booleans())
documents = aws_documents | native_documents
policies = st.lists(documents, max_size=2).map(
    lambda each: [Policy(f"policy-{number}", document) for number, document in enumerate(each)]
)
