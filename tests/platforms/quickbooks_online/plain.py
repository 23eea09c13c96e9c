"""A source without options, and what it is answered by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from app.core.talk import Response
from schemas.connection import Connection
from schemas.refs import ObjectRef
from streams.sources.platforms.quickbooks_online import SOURCE

NOW = datetime(2026, 5, 6, tzinfo=UTC)
SOURCE_OF = SOURCE(Connection(name="books", tenant="acme", platform="quickbooks_online", account="310687"))


def ref(type_: str, id_: str) -> ObjectRef:
    return ObjectRef("books", "310687", type_, id_)


def reply(body: Any, status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(body, default=float).encode())


def fault(code: str, status: int = 400) -> Response:
    return reply(
        {"Fault": {"Error": [{"Message": "m", "Detail": "d", "code": code, "element": ""}], "type": "ValidationFault"}},
        status,
    )
