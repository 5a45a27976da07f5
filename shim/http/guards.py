"""Who may ask, and with whose key the upstream is asked.

Three arrangements: clients present one of our tokens and the configured key goes upstream; the configured key
serves everyone (tools insist on sending some dummy key); or each client's own key passes through.

Not here: requests made by web pages (`shim.http.pages`).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shim.errors import ClientFault
from shim.exchange import Caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shim.http.call import Call
    from shim.settings import Settings

KEY_HEADERS = (b"x-api-key", b"api-key")


class Misconfigured(ValueError):
    """The settings contradict each other; the message says what to set."""


@dataclass(frozen=True, slots=True)
class Guard:
    """The rule by which clients are let in and keys are chosen.

    Attributes:
        tokens: What a client must present one of; empty lets every client in.
        own_key: The upstream's key that serves every client.
        needs_key: Whether the upstream takes no request without a key.
        key_variable: The environment variable that holds the upstream's key, for messages.
    """

    tokens: tuple[bytes, ...]
    own_key: str | None
    needs_key: bool
    key_variable: str

    @classmethod
    def of(cls, settings: Settings) -> Guard:
        """The rule that the settings describe.

        Raises:
            Misconfigured: There are client tokens but no key: every request would fail.
        """
        own, preset = settings.upstream_key, settings.preset
        if settings.client_tokens and own is None and preset.needs_key:
            raise Misconfigured(
                f"Clients must present a token (client_tokens), so the upstream needs a key of its own: set {preset.key_variable}."
            )
        return cls(
            tokens=settings.tokens,
            own_key=own.get_secret_value() if own else None,
            needs_key=preset.needs_key,
            key_variable=preset.key_variable,
        )

    def admit(self, call: Call) -> str | None:
        """Let the client in and return the key for the upstream, None if nobody has one.

        A client's token is for us alone and never goes further.

        Raises:
            ClientFault: 401, no or a wrong token.
        """
        presented = self.identity(call)
        if not self.tokens:
            return self.own_key or presented or None
        if not presented:
            raise ClientFault(
                "Incorrect API key provided: send one of the tokens that the shim was configured with.",
                status=401,
                code="invalid_api_key",
            )
        return self.own_key

    def key(self, call: Call) -> str | None:
        """Like `admit`, for requests that the upstream answers only with a key.

        Raises:
            ClientFault: 401, a wrong token or no key at all.
        """
        key = self.admit(call)
        if key is None and self.needs_key:
            raise ClientFault(
                f"No API key: set {self.key_variable} where the shim runs, "
                "or send your own key as 'Authorization: Bearer KEY'.",
                status=401,
            )
        return key

    def caller(self, call: Call) -> Caller:
        """The client, let in, with the key for the upstream and what it presented itself.

        Raises:
            ClientFault: 401, a wrong token or no key at all.
        """
        originator = call.headers.get(b"originator", b"")
        return Caller(
            self.key(call),
            self.identity(call),
            refusals_as_text=originator.lower().startswith(b"codex"),
        )

    def identity(self, call: Call) -> str:
        """What tells the client apart: its token where there are tokens, and not a key that it made up beside it.

        Empty for all who present nothing that counts; nobody need have been let in. The call keeps it.
        """
        if call.client is None:
            presented = presented_keys(call.headers)
            if self.tokens:
                presented = list(filter(self._is_token, presented))
            call.client = presented[0] if presented else ""
        return call.client

    def _is_token(self, key: str) -> bool:
        # Every token is compared, so the time taken says nothing. Latin-1 gives back the bytes that were sent.
        matches = [hmac.compare_digest(key.encode("latin-1"), token) for token in self.tokens]
        return any(matches)


def presented_keys(headers: Mapping[bytes, bytes]) -> list[str]:
    """The keys in a request's headers, as a bearer token first; a bare key without `Bearer` counts too."""
    keys = []
    match headers.get(b"authorization", b"").decode("latin-1").split():
        case [scheme, key] if scheme.lower() == "bearer":
            keys.append(key)
        case [key] if key.lower() != "bearer":
            keys.append(key)
    for name in KEY_HEADERS:
        if name in headers:
            key = headers[name].decode("latin-1").strip()
            if key:
                keys.append(key)
    return keys
