"""The mapping rules in memory, found by topic.

A filter begins with a plain level, so a look at the first level tells of nearly every topic that no rule is about. What
was found of the others is remembered where to find it takes long, within bounds, and forgotten when a rule changes.
"""

from collections import OrderedDict
from collections.abc import Sequence

from appliance.ingestion.mapping.model import KeptRule, MappingRule, UnknownMappingRuleError
from appliance.ingestion.mapping.turning import MayReport, Turning
from broker.topics import matches

TOPICS_LIMIT = 65_536
"""Of more topics, those are forgotten that were first met. They take some 15 MB; the longest, in any script, 80."""
REMEMBERED_LENGTH = 256
"""Of a longer topic the rule is looked for each time."""

_Tenant = dict[str, list[Turning]]
"""By the first level of their filters, each in the order of their names."""


class MappingBook:
    """The mapping rules of every tenant."""

    def __init__(self, may_report: MayReport = lambda *_: False, topics_limit: int = TOPICS_LIMIT) -> None:
        self.may_report = may_report
        self._topics_limit = topics_limit
        self._rules: dict[int, dict[str, KeptRule]] = {}
        self._turnings: dict[int, _Tenant] = {}
        # Of a plain dictionary the oldest entry is found ever more slowly, the more of them have gone.
        self._found: OrderedDict[tuple[int, str], Turning | None] = OrderedDict()

    def put(self, kept: KeptRule) -> None:
        """Have a rule in force, in place of the one of the same name."""
        self._rules.setdefault(kept.tenant_id, {})[kept.rule.name] = kept
        self._compile(kept.tenant_id)

    def remove(self, tenant_id: int, name: str) -> None:
        """Have a rule no longer in force. Raises `UnknownMappingRuleError`."""
        self.rule(tenant_id, name)
        del self._rules[tenant_id][name]
        self._compile(tenant_id)

    def rules(self, tenant_id: int) -> list[KeptRule]:
        """Every rule of a tenant, by name: in the order in which they are looked at."""
        known = self._rules.get(tenant_id, {})
        return [known[name] for name in sorted(known)]

    def rule(self, tenant_id: int, name: str) -> KeptRule:
        """One rule. Raises `UnknownMappingRuleError`."""
        kept = self._rules.get(tenant_id, {}).get(name)
        if kept is None:
            raise UnknownMappingRuleError(f"there is no mapping rule {name[:140]!r}")
        return kept

    def turning(self, tenant_id: int, topic: str) -> Turning | None:
        """The rule that is about a topic: the first whose filter matches it; None when none does."""
        tenant = self._turnings.get(tenant_id)
        if tenant is None:
            return None
        turnings = tenant.get(topic.partition("/")[0])
        if turnings is None:
            return None
        key = (tenant_id, topic)
        if key in self._found:
            return self._found[key]
        turning = next((each for each in turnings if matches(each.rule.document.topic, topic)), None)
        if len(topic) <= REMEMBERED_LENGTH and _takes_long(turnings):
            if len(self._found) >= self._topics_limit:
                self._found.popitem(last=False)
            self._found[key] = turning
        return turning

    def only(self, tenant_id: int, rule: MappingRule) -> "MappingBook":
        """A book of one rule that is not kept, for the same devices."""
        book = MappingBook(self.may_report)
        book.put(KeptRule(tenant_id, rule, 0))
        return book

    def _compile(self, tenant_id: int) -> None:
        self._found.clear()
        tenant: _Tenant = {}
        for kept in self.rules(tenant_id):
            tenant.setdefault(kept.rule.document.topic.partition("/")[0], []).append(Turning(kept.rule))
        if tenant:
            self._turnings[tenant_id] = tenant
        else:
            self._turnings.pop(tenant_id, None)


def _takes_long(turnings: Sequence[Turning]) -> bool:
    """Whether to ask these filters about a topic takes longer than to remember what came of it."""
    return len(turnings) > 1 or "+" in turnings[0].rule.document.topic
