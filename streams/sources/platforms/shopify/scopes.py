"""The scopes that options of a connection need beyond those of every app, held against what the shop granted."""

from __future__ import annotations

from collections.abc import Mapping

from app.core.talk import Talk
from schemas.platforms.shopify import graph
from streams.sources.platforms.shopify import reading

_READ = {"drafts": "draft_orders", "payment_terms": "payment_terms"}
"""Option -> what its queries read; without the scope Shopify refuses each of them whole."""


def lacking(options: Mapping[str, str]) -> Talk[tuple[str, ...]]:
    """Return a sentence for each scope that *options* need and the shop did not grant; who may write may read."""
    asked = {option: what for option, what in _READ.items() if options.get(option) == "yes"}
    if not asked:
        return ()
    granted = (yield from reading.ask(graph.SCOPES, {}))["currentAppInstallation"]["accessScopes"]
    handles = {str(one["handle"]) for one in granted}
    return tuple(
        f"The app lacks the scope read_{what}, which the option {option} needs."
        for option, what in asked.items()
        if not handles & {f"read_{what}", f"write_{what}"}
    )
