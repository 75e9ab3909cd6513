"""The routes of an application, as tests walk them."""

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute, WebSocketRoute

from web.roles import SOCKET


class Route(msgspec.Struct, frozen=True):
    """One method of one path."""

    method: str
    path: str
    parameters: dict[str, type]
    is_open: bool

    @property
    def name(self) -> str:
        """As the reference and the table of roles write it."""
        return f"{self.method} {self.path}"

    def filled(self, of_type: dict[type, str], by_name: dict[str, str]) -> str:
        """The path with a value for each parameter: by its name, else by its type."""
        path = self.path
        for name, kind in self.parameters.items():
            path = path.replace(f"{{{name}}}", by_name.get(name, of_type[kind]))
        return path


def routes(app: Litestar) -> list[Route]:
    """Every route, without what is answered to OPTIONS everywhere."""
    found = []
    for route in app.routes:
        parameters = {name: definition.type for name, definition in route.path_parameters.items()}
        if isinstance(route, WebSocketRoute):
            is_open = bool(route.route_handler.opt.get("is_open"))
            found.append(Route(SOCKET, route.path_format, parameters, is_open))
        else:
            assert isinstance(route, HTTPRoute), "a route of another kind: who may use it?"
            found += [
                Route(method, route.path_format, parameters, bool(handler.opt.get("is_open")))
                for handler in route.route_handlers
                for method in handler.http_methods
                if method != "OPTIONS"
            ]
    return found
