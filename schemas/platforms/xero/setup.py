"""What the mappings of a connection must meet in Xero's chart of accounts and tax rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from schemas.connection import Connection
from schemas.platforms.xero import wire

ACCOUNTS = {"sales": "200", "payments": "090"}
"""The codes that are booked on where the connection names none: those of Xero's own chart."""
_INCOME = frozenset(("SALES", "REVENUE", "OTHERINCOME"))


def missing_accounts(connection: Connection, accounts: Iterable[wire.Account]) -> Iterator[tuple[str, str]]:
    """Yield what the account codes in use lack: the key, and one sentence."""
    active = {account.code: account for account in accounts if account.status == "ACTIVE"}
    wanted = {**ACCOUNTS, **connection.accounts}
    for use, code in wanted.items():
        if code not in active:
            yield f"accounts.{use}", f"Xero has no active account {code}; name another under accounts.{use}."
    bank = active.get(wanted["payments"])
    if bank is not None and not _takes_payments(bank):
        text = f"Account {bank.code} takes no payments; switch them on in Xero or name another under accounts.payments."
        yield "accounts.payments", text


def missing_taxes(connection: Connection, rates: Iterable[wire.TaxRate]) -> Iterator[tuple[str, str]]:
    """Yield which tax types Xero does not have, and which have another rate than they are mapped from."""
    active = {rate.tax_type: rate for rate in rates if rate.status == "ACTIVE"}
    for key, code in connection.taxes.items():
        rate, other = active.get(code), f"name another under taxes.{key}."
        if rate is None:
            yield f"taxes.{key}", f"Xero has no active tax rate {code}; {other}"
        elif rate.effective_rate is not None and _percent(key) not in {None, rate.effective_rate}:
            yield f"taxes.{key}", f"Xero's tax rate {code} is {rate.effective_rate.normalize():f} %; {other}"


def fitting_accounts(accounts: Iterable[wire.Account]) -> dict[str, list[wire.Account]]:
    """Return the active accounts that may be booked on, by use; the one that Xero keeps for it comes first."""
    active = [account for account in accounts if account.status == "ACTIVE" and account.code]
    return {
        "sales": [account for account in active if account.type in _INCOME],
        "payments": [account for account in active if _takes_payments(account)],
        "rounding": sorted(
            (account for account in active if account.class_ in {"EXPENSE", "REVENUE"}),
            key=lambda account: not is_rounding(account),
        ),
    }


def is_rounding(account: wire.Account) -> bool:
    """Tell whether Xero, or the bookkeeper, meant an account for roundings."""
    return account.system_account == "ROUNDING" or account.name.lower() == "rounding"


def _takes_payments(account: wire.Account) -> bool:
    return account.type == "BANK" or account.enable_payments_to_account


def _percent(key: str) -> Decimal | None:
    """Return the rate that a key of the tax mapping is, None for a category."""
    try:
        return Decimal(key)
    except InvalidOperation:
        return None
