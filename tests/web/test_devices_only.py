import hashlib

import pytest
from litestar.exceptions import PermissionDeniedException

from appliance.registry.authority import fingerprint
from appliance.registry.model import DeviceState
from tests.web.house import Client, House
from web.devices_only import CERTIFICATE, device_of
