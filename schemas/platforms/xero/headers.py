"""What every call of the accounting API carries beside its proof."""

from __future__ import annotations

from schemas.connection import Connection
from schemas.platforms.xero import PLATFORM


def headers(connection: Connection) -> dict[str, str]:
    """Return the wish for JSON and the organisation; a Custom Connection reaches one alone and names none."""
    alone = PLATFORM.proof(connection.options).kind == "client_credentials"
    return {"Accept": "application/json", "xero-tenant-id": "" if alone else connection.account}
