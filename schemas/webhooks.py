"""How a platform is told where its webhooks go, as data."""

from __future__ import annotations

import msgspec


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection wants to be told, and how that is arranged."""

    topics: tuple[str, ...] = ()
    """The vendor's words for what is wanted; a source may add those of the connection's options."""
    shared: bool = False
    """One address for every company of an app, since the vendor allows no more."""
    key: str = ""
    """The secret that the API of subscriptions wants instead of the connection's own credential."""
    key_param: str = ""
    """The query parameter that carries it."""
    option: str = ""
    """The option of the connection that the API needs; without it a person does what `steps` say."""
    rights: str = ""
    """What the credential must be allowed, in words."""
    secret_once: bool = False
    """The signing secret is the subscription's own and shown once, when it is made: so only a person makes one."""
    signed_with: str = ""
    """The connection's secret that signs what was registered by API, where it is another one's second use."""
    look_seconds: float = 86_400.0
    """How often the connectors look whether what was registered still is, where the configuration does not say."""
    steps: tuple[str, ...] = ()
    """What a person clicks where o2c cannot register; {address} and {topics} are filled in."""
