"""Mapping rules as the tests of mapping make them."""

from collections.abc import Collection
from typing import Any

from appliance.ingestion.mapping.book import MappingBook
from appliance.ingestion.mapping.check import check_rule, read
from appliance.ingestion.mapping.model import KeptRule, MappingRule
from appliance.ingestion.model import Outcome
from broker.message import Message
from tests.appliance.ingestion.deciding import Gateway

WEARABLE = "iot/wearable/data"
BY_FIELD = {"from": "payload", "path": "deviceId"}
BY_SECOND_LEVEL = {"from": "topic", "level": 2}


def rule(name: str = "wearables", **document: Any) -> MappingRule:
    """A rule that can be kept: of wearables on one topic unless it says otherwise."""
    return check_rule(MappingRule(name, read({"topic": WEARABLE, **document})))


def kept(name: str = "wearables", tenant_id: int = 1, **document: Any) -> KeptRule:
    return KeptRule(tenant_id, rule(name, **document), 0)


def book_of(*rules: KeptRule, devices: Collection[str] = ("pump", "valve")) -> MappingBook:
    """A book with these rules, where these devices of every tenant are registered."""
    book = MappingBook(lambda _, device_id: device_id in devices)
    for each in rules:
        book.put(each)
    return book


def come_of(messages: list[Message], *rules: KeptRule) -> Outcome:
    """What comes of messages by these rules."""
    gateway = Gateway()
    gateway.known.mapping = book_of(*rules)
    return gateway.commit(messages)
