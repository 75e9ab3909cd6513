"""Litestar, without its adapters to libraries that nothing here uses."""

from litestar import Litestar
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin


class Framework(Litestar):
    """An application that does not load Pydantic and attrs because they happen to be installed.

    Everything here is msgspec. Loading the others made a start longer by a tenth.
    """

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        return [*plugins, MsgspecDIPlugin()]
