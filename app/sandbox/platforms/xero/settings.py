"""What the simulated organisation says about itself."""

from __future__ import annotations

from decimal import Decimal

from app.sandbox.platforms.xero.ledger import RATES, Ledger
from app.sandbox.platforms.xero.render import Row


def organisation(ledger: Ledger, account: str) -> Row:
    """Return what the organisation says about itself."""
    return {
        "OrganisationID": account,
        "Name": "Sandbox Ltd",
        "LegalName": "Sandbox Ltd",
        "PaysTax": True,
        "Version": "GLOBAL",
        "OrganisationType": "COMPANY",
        "BaseCurrency": ledger.currencies[0],
        "CountryCode": "DE",
        "IsDemoCompany": False,
        "OrganisationStatus": "ACTIVE",
        "FinancialYearEndDay": 31,
        "FinancialYearEndMonth": 12,
        "PeriodLockDate": ledger.lock_date,
        "Timezone": "UTC",
        "Edition": "BUSINESS",
        "Class": "PREMIUM",
    }


def _tax_rate(type_: str, name: str, rate: Decimal) -> Row:
    """Return one tax rate."""
    part = {"Name": "Tax", "Rate": rate, "IsCompound": False, "IsNonRecoverable": False}
    shown = {"Name": name, "TaxType": type_, "Status": "ACTIVE", "DisplayTaxRate": rate, "EffectiveRate": rate}
    return {**shown, "CanApplyToRevenue": True, "TaxComponents": [part]}


def rows(name: str, ledger: Ledger, account: str) -> list[Row]:
    """Return the rows of a settings list."""
    if name == "Organisation":
        return [organisation(ledger, account)]
    if name == "Accounts":
        return list(ledger.accounts.values())
    if name == "TaxRates":
        return [_tax_rate(type_, *rate) for type_, rate in RATES.items()]
    return [{"Code": code, "Description": code} for code in ledger.currencies]
