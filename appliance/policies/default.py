"""The default table: what every device may do. Everything that is not in it is denied.

docs/reference/policies.md shows the same table; a test compares them.
"""

from appliance.policies.model import Action, Document, Effect, Kind, Resource, Statement

PUBLISHES = (Action.PUBLISH,)
KEEPS = (Action.PUBLISH, Action.RETAIN_PUBLISH)
HEARS = (Action.SUBSCRIBE, Action.RECEIVE)

TABLE: tuple[tuple[tuple[Action, ...], str], ...] = (
    ((Action.CONNECT,), "{device_id}"),
    (KEEPS, "sensors/{device_id}/#"),
    (KEEPS, "cmd/{device_id}/response/#"),
    (KEEPS, "fw/{device_id}/status"),
    (PUBLISHES, "$aws/things/{device_id}/shadow/get"),
    (PUBLISHES, "$aws/things/{device_id}/shadow/update"),
    (PUBLISHES, "$aws/things/{device_id}/shadow/delete"),
    (PUBLISHES, "$aws/things/{device_id}/shadow/name/+/get"),
    (PUBLISHES, "$aws/things/{device_id}/shadow/name/+/update"),
    (PUBLISHES, "$aws/things/{device_id}/shadow/name/+/delete"),
    (PUBLISHES, "$aws/things/{device_id}/jobs/get"),
    (PUBLISHES, "$aws/things/{device_id}/jobs/start-next"),
    (PUBLISHES, "$aws/things/{device_id}/jobs/+/get"),
    (PUBLISHES, "$aws/things/{device_id}/jobs/+/update"),
    (PUBLISHES, "$aws/things/{device_id}/streams/+/describe/json"),
    (PUBLISHES, "$aws/things/{device_id}/streams/+/describe/cbor"),
    (PUBLISHES, "$aws/things/{device_id}/streams/+/get/json"),
    (PUBLISHES, "$aws/things/{device_id}/streams/+/get/cbor"),
    (PUBLISHES, "$aws/things/{device_id}/defender/metrics/json"),
    (PUBLISHES, "$aws/things/{device_id}/defender/metrics/cbor"),
    (PUBLISHES, "$aws/commands/things/{device_id}/executions/+/response"),
    (PUBLISHES, "$aws/commands/things/{device_id}/executions/+/response/json"),
    (PUBLISHES, "$aws/commands/things/{device_id}/executions/+/response/cbor"),
    (PUBLISHES, "$aws/commands/clients/{device_id}/executions/+/response"),
    (PUBLISHES, "$aws/commands/clients/{device_id}/executions/+/response/json"),
    (PUBLISHES, "$aws/commands/clients/{device_id}/executions/+/response/cbor"),
    (PUBLISHES, "$headworks/devices/{device_id}/certificate/renew"),
    (HEARS, "cmd/{device_id}/#"),
    (HEARS, "fw/{device_id}/offer"),
    (HEARS, "$aws/things/{device_id}/#"),
    (HEARS, "$aws/commands/things/{device_id}/#"),
    (HEARS, "$aws/commands/clients/{device_id}/#"),
    (HEARS, "$headworks/devices/{device_id}/certificate/renew/+"),
)
"""Which actions, and on which client identifier or topic filter."""


def default_document() -> Document:
    """The default table as a policy says it: one statement for each row."""
    return Document(
        tuple(
            Statement(
                Effect.ALLOW,
                actions,
                (Resource(Kind.CLIENT_ID if actions == (Action.CONNECT,) else Kind.FILTER, text),),
            )
            for actions, text in TABLE
        )
    )
