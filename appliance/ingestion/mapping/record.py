"""What the audit log is told of mapping rules."""

from appliance.audit.change import changes, facts
from appliance.audit.model import Entry
from appliance.ingestion.mapping.model import Change, MappingRule


def entries(change: Change) -> list[Entry]:
    """A rule was added, changed or removed."""
    match change.before, change.after:
        case None, MappingRule() as after:
            return [Entry("mapping_rule.add", after.name, facts(after.document))]
        case MappingRule() as before, None:
            return [Entry("mapping_rule.remove", before.name, facts(before.document))]
        case MappingRule() as before, MappingRule() as after:
            return [Entry("mapping_rule.change", after.name, changes(before.document, after.document))]
        case _:
            return []
