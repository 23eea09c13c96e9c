"""A source without a network, and what HubSpot's samples hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.connection import Connection
from streams.sources.platforms.hubspot import HubspotSource

PORTAL = "48975575"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def source_of(account: str = PORTAL, **options: str) -> HubspotSource:
    return HubspotSource(Connection(name="crm", tenant="acme", platform="hubspot", account=account, options=options))


def expected(shared: Path, file: str) -> dict[str, Any]:
    index = json.loads((shared / "samples/hubspot/index.json").read_text())
    return next(entry["expect"] for entry in index if entry["file"] == file)
