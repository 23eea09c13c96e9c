"""Changes coming from QuickBooks Online."""

from streams.sources.platforms.quickbooks_online.source import QuickBooksSource

SOURCE = QuickBooksSource

__all__ = ["SOURCE", "QuickBooksSource"]
