"""Whom CAs of a tenant's own ask for what they do not know themselves."""

from collections.abc import Mapping
from typing import Protocol

from appliance.registry.clock.trust import Reading
from appliance.registry.model import NewDevice


class Watch(Protocol):
    """Knows what time it is, and what that is worth."""

    def reading(self) -> Reading:
        """The present moment."""


class Templates(Protocol):
    """Knows provisioning templates."""

    def check_template(self, tenant_id: int, name: str) -> None:
        """Raise `UnknownTemplateError` when the tenant has none of that name."""

    def made_of(self, tenant_id: int, name: str, told: Mapping[str, str], certificate_id: str) -> NewDevice:
        """What a template makes of what a certificate says. Raises `UnknownTemplateError`, `InvalidTemplateError`."""
