"""Every policy in memory, and what was decided by them: asked for each new topic of each device.

What is remembered is bounded, and forgotten when a policy of the tenant changes or the device is another one.
"""

from collections.abc import Mapping
from typing import Protocol

from appliance.policies.evaluate import Rights, explain
from appliance.policies.memory import Decisions, Generations
from appliance.policies.model import Action, KeptPolicy, Policy, Subject, UnknownPolicyError, Verdict
from appliance.policies.usual import lets

DECISIONS_LIMIT = 65_536
"""How many decisions are remembered, of all tenants together; those that are asked for go on being remembered."""
RIGHTS_LIMIT = 1_024
"""For how many devices the compiled policy is remembered."""
LEAST_SHARE = 64
"""However many tenants there are, each may have this part of either remembered."""
_RECEIVE = Action.RECEIVE
REMEMBERED_LENGTH = 512
"""A longer topic is decided anew each time: what clients choose must not fill the memory."""


class Described(Protocol):
    """A device as the registry knows it. Another one takes its place when anything of it changes."""

    @property
    def tenant_id(self) -> int:
        """Whose it is."""

    @property
    def device_id(self) -> str:
        """Its name."""

    @property
    def type(self) -> str:
        """What kind of device it is."""

    @property
    def zone(self) -> str:
        """Where it is."""

    @property
    def serial_number(self) -> str:
        """What its maker calls it."""

    @property
    def attributes(self) -> Mapping[str, str]:
        """What people keep of it besides."""


class PolicyBook:
    """The policies of every tenant."""

    def __init__(self) -> None:
        self._policies: dict[int, dict[str, KeptPolicy]] = {}
        self._rights: dict[int, Generations[str, tuple[Described, Rights]]] = {}
        self._decided: dict[int, Decisions] = {}

    def put(self, kept: KeptPolicy) -> None:
        """Have a policy in force, in place of the one of the same name."""
        self._policies.setdefault(kept.tenant_id, {})[kept.policy.name] = kept
        self._forget(kept.tenant_id)

    def remove(self, tenant_id: int, name: str) -> None:
        """Have a policy no longer in force. Raises `UnknownPolicyError`."""
        self.policy(tenant_id, name)
        del self._policies[tenant_id][name]
        self._forget(tenant_id)

    def policies(self, tenant_id: int) -> list[KeptPolicy]:
        """Every policy of a tenant, by name."""
        known = self._policies.get(tenant_id, {})
        return [known[name] for name in sorted(known)]

    def policy(self, tenant_id: int, name: str) -> KeptPolicy:
        """One policy. Raises `UnknownPolicyError`."""
        kept = self._policies.get(tenant_id, {}).get(name)
        if kept is None:
            raise UnknownPolicyError(f"there is no policy {name[:140]!r}")
        return kept

    def rights(self, device: Described) -> Rights:
        """What a device may do: compiled once, as long as neither it nor a policy changes."""
        remembered = self._rights.get(device.tenant_id)
        if remembered is None:
            remembered = self._begin(device.tenant_id)[0]
        known = remembered.get(device.device_id)
        if known is not None and known[0] is device:
            return known[1]
        concerning = [kept.policy for kept in self.policies(device.tenant_id) if concerns(kept.policy, device)]
        # Those of its type first, then its own.
        concerning.sort(key=lambda policy: device.device_id in policy.devices)
        rights = Rights(subject_of(device), concerning)
        remembered.put(device.device_id, (device, rights))
        return rights

    def refusal(self, device: Described, action: Action, wish: str) -> str | None:
        """None when the device may do this, else why not."""
        # What a device is told has, as a rule, a topic that comes once, or a route of the broker, which is remembered
        # there: to look is quicker than to remember. It keeps what is remembered for what is asked for again.
        if action is _RECEIVE and not self._policies.get(device.tenant_id) and lets(device.device_id, action, wish):
            return None
        decisions = self._decided.get(device.tenant_id)
        if decisions is None:
            decisions = self._begin(device.tenant_id)[1]
        known = decisions.of(device.device_id, device)
        key = (action, wish)
        if key in known.young:
            return known.young[key]
        if decisions.recall(known, key):
            return known.young[key]
        refusal = self._judge(device, action, wish)
        if len(wish) <= REMEMBERED_LENGTH:
            decisions.remember(known, key, refusal)
        return refusal

    def explain(self, device: Described, action: Action, wish: str) -> Verdict:
        """Whether the device may do this, which statement decides, and why."""
        return explain(self.rights(device), action, wish)

    def _judge(self, device: Described, action: Action, wish: str) -> str | None:
        if not self._concern(device) and lets(device.device_id, action, wish):
            return None
        verdict = explain(self.rights(device), action, wish)
        return None if verdict.is_allowed else verdict.reason

    def _concern(self, device: Described) -> bool:
        """Whether any policy is about a device, so that it has more, or less, than the default table."""
        policies = self._policies.get(device.tenant_id)
        return policies is not None and any(concerns(kept.policy, device) for kept in policies.values())

    def _begin(self, tenant_id: int) -> tuple[Generations[str, tuple[Described, Rights]], Decisions]:
        """Remember something of a tenant. Each has the same share, so that none can have another's forgotten."""
        rights = self._rights.setdefault(tenant_id, Generations(RIGHTS_LIMIT))
        decisions = self._decided.setdefault(tenant_id, Decisions(DECISIONS_LIMIT))
        for known in self._rights.values():
            known.limit = _share(RIGHTS_LIMIT, len(self._rights))
        for each in self._decided.values():
            each.limit = _share(DECISIONS_LIMIT, len(self._decided))
        return rights, decisions

    def _forget(self, tenant_id: int) -> None:
        self._rights.pop(tenant_id, None)
        self._decided.pop(tenant_id, None)


def _share(limit: int, tenant_count: int) -> int:
    """The size of one of the two generations of a tenant."""
    return limit // (2 * min(tenant_count, LEAST_SHARE))


def concerns(policy: Policy, device: Described) -> bool:
    """Whether a policy is one of this device's."""
    return device.device_id in policy.devices or (device.type != "" and device.type in policy.types)


def subject_of(device: Described) -> Subject:
    """What of a device its policy depends on."""
    return Subject(device.device_id, device.type, device.zone, device.serial_number, device.attributes)
