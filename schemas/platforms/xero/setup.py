"""What the mappings of a connection must meet in Xero's chart of accounts and tax rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from schemas.connection import Connection
from schemas.platforms.xero import wire

ACCOUNTS = {"sales": "200", "payments": "090"}
"""The codes that are booked on where the connection names none: those of Xero's own chart."""


def missing_accounts(connection: Connection, accounts: Iterable[wire.Account]) -> Iterator[str]:
    """Yield what the account codes in use lack, one sentence each."""
    active = {account.code: account for account in accounts if account.status == "ACTIVE"}
    wanted = {**ACCOUNTS, **connection.accounts}
    for use, code in wanted.items():
        if code not in active:
            yield f"Xero has no active account {code}; name another under accounts.{use}."
    bank = active.get(wanted["payments"])
    if bank is not None and bank.type != "BANK" and not bank.enable_payments_to_account:
        yield f"Account {bank.code} takes no payments; switch them on in Xero or name another under accounts.payments."


def missing_taxes(connection: Connection, rates: Iterable[wire.TaxRate]) -> Iterator[str]:
    """Yield which tax types Xero does not have, and which have another rate than they are mapped from."""
    active = {rate.tax_type: rate for rate in rates if rate.status == "ACTIVE"}
    for key, code in connection.taxes.items():
        rate = active.get(code)
        if rate is None:
            yield f"Xero has no active tax rate {code}; name another under taxes.{key}."
        elif rate.effective_rate is not None and _percent(key) not in {None, rate.effective_rate}:
            yield f"Xero's tax rate {code} is {rate.effective_rate.normalize():f} %; name another under taxes.{key}."


def _percent(key: str) -> Decimal | None:
    """Return the rate that a key of the tax mapping is, None for a category."""
    try:
        return Decimal(key)
    except InvalidOperation:
        return None
