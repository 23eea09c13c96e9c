"""Writes to QuickBooks Online."""

from sinks.platforms.quickbooks_online.sink import QuickBooksSink

SINK = QuickBooksSink

__all__ = ["SINK", "QuickBooksSink"]
