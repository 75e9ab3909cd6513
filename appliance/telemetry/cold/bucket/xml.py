"""The little XML that a bucket speaks: errors, the name of an upload, and the list of its parts."""

import re
from collections.abc import Iterable
from html import unescape


def element(body: bytes, name: str) -> str:
    """The text of the first element of a name; empty when there is none."""
    found = re.search(rf"<{name}(?:\s[^>]*)?>([^<]*)</{name}>", body.decode("utf-8", "replace"))
    return unescape(found[1]) if found else ""


def parts(etags: Iterable[tuple[int, str]]) -> bytes:
    """The list that ends an upload: number and tag of each part, in order."""
    listed = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>&quot;{etag}&quot;</ETag></Part>"
        for number, etag in sorted(etags)
    )
    return f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
