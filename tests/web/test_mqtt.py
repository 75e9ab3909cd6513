"""MQTT over WebSocket with a real client, on a real port."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from broker.codec import Decoder
from broker.encode import encode
from broker.limits import Limits
from broker.packets import (
    V4,
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    SubscribeRequest,
)
from broker.reason_codes import ReasonCode
from tests.web import house as houses
from tests.web.house import House
from web import mqtt
from web.auth import SESSION_COOKIE, form_token
from web.live import SESSION_ENDED, TRY_LATER
from web.server import Served, serving
from web.stream import UNSUPPORTED_DATA
