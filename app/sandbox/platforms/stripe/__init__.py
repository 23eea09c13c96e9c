"""Stripe simulated: customers, invoices, payment intents and records, refunds, credit notes, payouts and events.

https://docs.stripe.com/api (2026-10-28.endive). A person's act bills a period of a
subscription. Not simulated: subscriptions themselves, Connect, cards, a search's lag.
"""

from app.sandbox.platforms.stripe.server import StripeSandbox

__all__ = ["StripeSandbox"]
