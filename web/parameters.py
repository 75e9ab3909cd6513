"""Parameters that several handlers take."""

from typing import Annotated

from litestar.params import PathParameter

FURTHEST = 2**63 - 1
"""A number that no row reaches: before it, as a cursor, comes everything."""
RowNumber = Annotated[int, PathParameter(ge=0, le=FURTHEST)]
"""The number of a row, within what the database can hold."""
