"""HubSpot: an order is a deal, or an order object where the portal keeps those.

https://developers.hubspot.com/docs/api-reference (CRM objects v3, associations v4, webhooks v3)
"""

from schemas.platforms.hubspot.platform import PLATFORM

__all__ = ["PLATFORM"]
