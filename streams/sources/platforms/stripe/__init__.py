"""Stripe's source: what came in, what must be read, what changed since."""

from streams.sources.platforms.stripe.source import StripeSource

__all__ = ["SOURCE", "StripeSource"]

SOURCE = StripeSource
