"""HubSpot's source: what came in, what must be read, what changed since."""

from streams.sources.platforms.hubspot.source import HubspotSource

__all__ = ["SOURCE", "HubspotSource"]

SOURCE = HubspotSource
