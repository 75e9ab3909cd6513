"""Parameters that several handlers take."""

from typing import Annotated

from litestar.params import PathParameter

RowNumber = Annotated[int, PathParameter(ge=0, le=2**63 - 1)]
"""The number of a row, within what the database can hold."""
