"""Whether platforms can reach the gateway, as far as that can be told from here."""

from __future__ import annotations

import aiohttp

_PATIENCE = aiohttp.ClientTimeout(total=3)
_UNKNOWN = 404


async def served(address: str) -> int:
    """Return what the gateway answers at its public address, 0 when nobody does."""
    try:
        async with aiohttp.ClientSession(timeout=_PATIENCE) as session, session.head(address) as reply:
            return reply.status
    except (aiohttp.ClientError, TimeoutError, OSError):
        return 0


async def takes_deliveries(address: str) -> bool:
    """Tell whether a gateway that knows the connection answers there: else the platform is not to blame."""
    return await served(address) not in {0, _UNKNOWN}
