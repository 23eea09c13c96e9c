"""Changes coming from Xero."""

from streams.sources.platforms.xero.source import XeroSource

SOURCE = XeroSource

__all__ = ["SOURCE", "XeroSource"]
