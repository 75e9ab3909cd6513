"""Who a client is that asks to be let in: the authoriser says so, at once or when it has thought."""

import msgspec

from broker.client import Client
from broker.errors import ProtocolError
from broker.exchange import Exchange
from broker.forgetting import forget
from broker.packets import Connect
from broker.permissions import Undecided
from broker.ports import Credentials, Denied, Principal


class Admission:
    """Asks who clients are."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def principal(self, client: Client, connect: Connect) -> Principal:
        """Who it is. Raises `ProtocolError`, `Undecided`.

        What an authoriser said after thinking is asked for again only if it may be wrong by now.
        """
        answer = client.admitted
        if answer is None or self._is_outdated(client, answer):
            client.asked_version = self._exchange.permissions.identity_version
            # If it takes time again, the first answer counts until the second comes, as for whoever is in already.
            answer = self._ask(client, connect) or answer
        if answer is None:
            raise Undecided
        if isinstance(answer, Denied):
            client.admitted = answer
            raise ProtocolError(answer.reason_code, answer.reason)
        return answer

    def _is_outdated(self, client: Client, answer: Principal | Denied) -> bool:
        """Whether somebody was revoked, or the like, since it was asked who this is."""
        is_current = client.asked_version in (None, self._exchange.permissions.identity_version)
        return not is_current and not isinstance(answer, Denied)

    def _ask(self, client: Client, connect: Connect) -> Principal | Denied | None:
        stream = client.stream
        certificate = stream.certificate
        username = connect.username
        if certificate is not None and username is not None and username.startswith("?"):
            username = None  # AWS's own clients tell their version there.
        credentials = Credentials(
            connect.client_id, username, connect.password, certificate, stream.address, stream.transport
        )
        client.credentials = msgspec.structs.replace(credentials, certificate=None)
        return self._exchange.permissions.authenticate(credentials, lambda said: self._hear(client, said))

    def _hear(self, client: Client, said: Principal | Denied) -> None:
        """Take a late answer: let the client in, or end what was begun on an answer from before."""
        session = client.session
        if session is None:
            client.admitted = said
            client.go_on()
        elif isinstance(said, Denied) and said.is_judgement and client.stream.is_open:
            client.note_denied("connection_ended", said.reason)
            forget(self._exchange, [session], said.reason, said.reason_code)
