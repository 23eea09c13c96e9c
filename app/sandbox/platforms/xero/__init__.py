"""Xero simulated: organisation, contacts, invoices, payments, credit notes, overpayments, history, tokens, webhooks.

https://developer.xero.com/documentation/api/accounting/overview. Not simulated: quotes, bank feeds, items, tracking,
payroll. Without `Accept: application/json` it answers XML, as the vendor does.
"""

from app.sandbox.platforms.xero.server import XeroSandbox

__all__ = ["XeroSandbox"]
