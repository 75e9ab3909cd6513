"""Why a normative statement has no sequence of its own."""

from enum import Enum


class Reason(Enum):
    """What keeps a statement from being shown over a socket to a broker."""

    CLIENTS = "it binds clients, and says nothing of what a server does about one that breaks it"
    LACKS_NOTHING = "it is about a server that lacks something, which ours has"
    NO_EXCHANGE = "it is about an authentication exchange, which ours refuses to begin"
    WEBSOCKET = "it is about the frames around MQTT, which the web server reads and its tests show"
    HIDDEN = "no sequence of packets shows it"
    NO_BRIDGE = "ours opens no connection to another server"
