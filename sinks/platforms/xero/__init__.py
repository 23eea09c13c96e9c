"""Writes to Xero."""

from sinks.platforms.xero.sink import XeroSink

SINK = XeroSink

__all__ = ["SINK", "XeroSink"]
