"""A vendor's journal of changes: fetched by whoever has no address that its webhooks could reach."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from schemas.platform import Auth, Limits


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """How a connection follows it."""

    option: str
    """The option of a connection that asks for it."""
    choices: tuple[str, ...]
    """What that option may say."""
    auth: Auth
    """How the app proves itself there, by a token of its own; what the company granted counts elsewhere."""
    secrets: tuple[str, ...]
    """Those of the connection's secrets that its token is asked for with."""
    limits: Limits
    seconds: float = 30.0
    """Between two looks once everything was fetched."""

    def asked(self, options: Mapping[str, str]) -> bool:
        """Tell whether a connection with *options* follows it."""
        return options.get(self.option, "") in self.choices
