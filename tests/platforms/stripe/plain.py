"""A Stripe account in tests: a connection, commands to it and answers from it."""

from __future__ import annotations

import json
from typing import Any

from app.core.talk import Response
from schemas.commands import Command
from schemas.connection import Connection
from schemas.facts import Facts
from schemas.refs import mark_of
from sinks.platforms.stripe import StripeSink
from streams.sources.platforms.stripe import StripeSource

AUTH = {"Authorization": "Bearer sk_test_made_up"}
CONNECTION = Connection(name="pay", tenant="acme", platform="stripe", account="acct_sandbox")
SINK, SOURCE = StripeSink(CONNECTION), StripeSource(CONNECTION)


def command(capability: Any, facts: Facts, *, n: int = 1, **changes: Any) -> Command:
    """Return write number *n* of an order."""
    values: dict[str, Any] = {
        "id": f"{n:032x}",
        "kind": "create",
        "tenant": "acme",
        "connection": "pay",
        "account": "acct_sandbox",
        "capability": capability,
        "order": "a" * 32,
        "entity": "document:1",
        "write": "w",
        "canonical": "c",
        "mark": mark_of("a" * 32, f"{n:012x}"),
        "facts": facts,
    }
    return Command(**{**values, **changes})


def reply(record: Any, status: int = 200, **headers: str) -> Response:
    """Return an answer with *record* as its body."""
    lower = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=lower, body=json.dumps(record).encode())
