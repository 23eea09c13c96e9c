"""Stripe: payments, refunds, invoices and payouts; there is no order object, orders are named in metadata.

https://docs.stripe.com/api (version 2026-10-28.endive; the shapes before 2025-03-31 are read as well).
"""

from schemas.platforms.stripe.platform import PLATFORM

__all__ = ["PLATFORM"]
