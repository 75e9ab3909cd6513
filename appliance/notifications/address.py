"""What an e-mail address looks like, as far as a gateway can tell without sending."""

import re

ADDRESS_LIMIT = 254
_LOCAL_LIMIT = 64

# ASCII only, because many servers refuse the rest. No quoted local part, no comment, no address literal
# (RFC 5321, 4.1.2 allows them, nobody has one); a host without a dot is a host of the LAN.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})*")


def is_address(text: str) -> bool:
    """Whether the text is one bare address, `local@host`."""
    # What looks like an encoded word (RFC 2047) may be decoded by whoever reads the header.
    if len(text) > ADDRESS_LIMIT or "=?" in text:
        return False
    found = _ADDRESS.fullmatch(text)
    return found is not None and len(found["local"]) <= _LOCAL_LIMIT
