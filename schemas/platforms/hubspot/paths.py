"""Where records live: under a number for now, or under the date of a version, with the same bodies.

https://developers.hubspot.com/docs/api-reference/legacy/migration-guide: numbers end in September 2027.
"""

from __future__ import annotations

from schemas.connection import Connection

NUMBERED = "v3"


def records(connection: Connection, kind: str, *rest: str) -> str:
    """Return the path of the records of *kind*, or of what follows it: an escaped id, or an action."""
    version = connection.options.get("api_version") or NUMBERED
    place = "/crm/v3/objects" if version == NUMBERED else f"/crm/objects/{version}"
    return "/".join((place, kind, *rest))
