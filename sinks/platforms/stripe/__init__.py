"""Writes to Stripe."""

from sinks.platforms.stripe.sink import StripeSink

SINK = StripeSink

__all__ = ["SINK", "StripeSink"]
