"""Sales forms: what QuickBooks computes and refuses when one is saved."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from app.sandbox.platforms.quickbooks_online.refusals import (
    Record,
    amount_mismatch,
    business,
    closed,
    duplicate_number,
    invalid_reference,
    missing,
    not_found,
    too_long,
)
from app.sandbox.platforms.quickbooks_online.store import Store, number, plain, ref

CENT = Decimal("0.01")
FORMS = ("Invoice", "SalesReceipt", "CreditMemo", "RefundReceipt", "Estimate")
_OPEN = {"Invoice", "CreditMemo"}
_LIMITS = {"DocNumber": 21, "PrivateNote": 4000, "PaymentRefNum": 21, "TrackingNum": 31}
_COMPUTED = {
    "TotalAmt",
    "Balance",
    "HomeTotalAmt",
    "HomeBalance",
    "LinkedTxn",
    "RemainingCredit",
    "domain",
    "sparse",
    "status",
    "MetaData",
    "Id",
    "SyncToken",
}


@dataclass
class Settings:
    """What the company has switched on."""

    country: str = "US"
    home_currency: str = "USD"
    multi_currency: bool = True
    custom_numbers: bool = False
    closed_until: date | None = None
    tax_percent: Decimal = Decimal(8)
    own_tax: bool = False
    """US: what the tax engine computes holds, whatever tax was sent."""


def rounded(amount: Decimal) -> Decimal:
    """Return *amount* to the cent, half up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def check_period(settings: Settings, *days: str) -> None:
    """Refuse 6210 when one of *days* lies in the closed period."""
    until = settings.closed_until
    for day in days:
        if until is not None and date.fromisoformat(day) <= until:
            raise closed(until.isoformat())


def check_lengths(body: Record) -> None:
    """Refuse 2050 for a text that does not fit."""
    for name, limit in _LIMITS.items():
        if len(str(body.get(name) or "")) > limit:
            raise too_long(name, limit)


def check_account(store: Store, body: Record) -> None:
    """Refuse 2500 when the money is to go to or come from an account that is not there."""
    account = ref(body, "DepositToAccountRef")
    if account and account not in store.rows["Account"]:
        raise invalid_reference("DepositToAccountRef", account)


def customer_of(store: Store, settings: Settings, body: Record) -> Record:
    """Return the customer of a form, whose currency must be the form's."""
    id_ = ref(body, "CustomerRef")
    if not id_:
        raise missing("CustomerRef")
    customer = store.rows["Customer"].get(id_)
    if customer is None:
        raise invalid_reference("CustomerRef", id_)
    if not customer.get("Active", True):
        raise not_found("CustomerRef")
    theirs = ref(customer, "CurrencyRef") or settings.home_currency
    wanted = ref(body, "CurrencyRef") or theirs
    if wanted != settings.home_currency and not settings.multi_currency:
        raise business("Multi currency should be enabled to perform this operation")
    if wanted != theirs:
        raise business(f"The currency of the transaction ({wanted}) is not the customer's currency ({theirs})")
    return customer


class Forms:
    """Builds the stored form out of what was sent."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self._number = 1001

    def build(self, entity: str, body: Record, old: Record | None) -> Record:
        """Return the fields to store; *body* is complete (a sparse update was merged before)."""
        check_lengths(body)
        lines = body.get("Line") or []
        if not any(line.get("DetailType") != "SubTotalLineDetail" for line in lines):
            raise missing("Line")
        customer = customer_of(self.store, self.settings, body)
        check_account(self.store, body)
        if entity == "RefundReceipt" and not ref(body, "DepositToAccountRef"):
            raise missing("DepositToAccountRef")
        form = {name: value for name, value in body.items() if name not in _COMPUTED}
        form.setdefault("TxnDate", self.store.clock().date().isoformat())
        check_period(self.settings, form["TxnDate"], *([old["TxnDate"]] if old else []))
        form["Line"] = [self._line(line, place) for place, line in enumerate(_own(lines), 1)]
        self._totals(form, old)
        self._heads(entity, form, customer, old)
        return form

    def _heads(self, entity: str, form: Record, customer: Record, old: Record | None) -> None:
        currency = ref(customer, "CurrencyRef") or self.settings.home_currency
        form["CustomerRef"] = {"value": customer["Id"], "name": customer["DisplayName"]}
        form["CurrencyRef"] = {"value": currency, "name": currency}
        if self.settings.multi_currency:
            form.setdefault("ExchangeRate", 1)
        self._numbered(entity, form, old)
        form.setdefault("CustomField", [])
        form.setdefault("PrintStatus", "NeedToPrint")
        form.setdefault("EmailStatus", "NotSet")
        form["ApplyTaxAfterDiscount"] = bool(form.get("ApplyTaxAfterDiscount", False))
        if entity == "Invoice":
            form.setdefault("DueDate", (date.fromisoformat(form["TxnDate"]) + timedelta(days=30)).isoformat())
            form["LinkedTxn"] = (old or {}).get("LinkedTxn", [])
        if entity in _OPEN:
            used = (number(old["TotalAmt"], "TotalAmt") - number(old["Balance"], "Balance")) if old else Decimal(0)
            form["Balance"] = plain(number(form["TotalAmt"], "TotalAmt") - used)
        if entity == "CreditMemo":
            form["RemainingCredit"] = form["Balance"]
        if entity in {"SalesReceipt", "RefundReceipt"}:
            form["Balance"] = 0
            form.setdefault("DepositToAccountRef", {"value": self.account("Undeposited Funds")})

    def account(self, name: str) -> str:
        """Return the id of the account called *name*."""
        return str(next(row["Id"] for row in self.store.rows["Account"].values() if row["Name"] == name))

    def _numbered(self, entity: str, form: Record, old: Record | None) -> None:
        own = (
            form.get("DocNumber")
            if self.settings.custom_numbers
            else (old or {}).get("DocNumber") or form.get("DocNumber")
        )
        if not own and not self.settings.custom_numbers:
            while self.store.having(entity, "DocNumber", str(self._number)):
                self._number += 1
            own, self._number = str(self._number), self._number + 1
        form.pop("DocNumber", None)
        if not own:
            return
        form["DocNumber"] = own
        for row in self.store.having(entity, "DocNumber", own):
            if row is not old:
                raise duplicate_number(own, entity, row["Id"])

    def _line(self, line: Record, place: int) -> Record:
        kind = line.get("DetailType")
        if not kind:
            raise missing("Line.DetailType")
        made = {
            "Id": str(place),
            "LineNum": place,
            **{k: v for k, v in line.items() if k not in {"LineNum", "CustomExtensions"}},
        }
        if kind == "DescriptionOnly":
            return made
        if "Amount" not in line:
            raise missing("Line.Amount")
        made["Amount"] = plain(number(line["Amount"], "Line.Amount"))
        if kind == "SalesItemLineDetail":
            made["SalesItemLineDetail"] = self._detail(line.get(kind) or {}, number(line["Amount"], "Line.Amount"))
            made["CustomExtensions"] = []
        return made

    def _detail(self, detail: Record, amount: Decimal) -> Record:
        made: Record = {key: value for key, value in detail.items() if key not in {"Qty", "UnitPrice"}}
        item = ref(detail, "ItemRef")
        found = self.store.rows["Item"].get(item) if item else next(iter(self.store.rows["Item"].values()))
        if found is None:
            raise invalid_reference("ItemRef", item)
        if not found.get("Active", True):
            raise not_found("ItemRef")
        made["ItemRef"] = {"value": found["Id"], "name": found["Name"]}
        for name in ("Qty", "UnitPrice"):
            if name in detail:
                made[name] = plain(number(detail[name], name))
        if (
            "Qty" in made
            and "UnitPrice" in made
            and rounded(Decimal(made["Qty"]) * Decimal(made["UnitPrice"])) != amount
        ):
            raise amount_mismatch(amount)
        made["ItemAccountRef"] = dict(found.get("IncomeAccountRef") or {})
        made["TaxCodeRef"] = {"value": self._tax_code(ref(detail, "TaxCodeRef"))}
        return made

    def _tax_code(self, wanted: str) -> str:
        if self.settings.country == "US":
            if wanted not in {"", "TAX", "NON"}:
                raise invalid_reference("TaxCodeRef", wanted)
            return wanted or "NON"
        if not wanted:
            raise business("Make sure all your transactions have a GST/VAT rate before you save")
        if wanted not in self.store.rows["TaxCode"]:
            raise invalid_reference("TaxCodeRef", wanted)
        return wanted

    def _totals(self, form: Record, old: Record | None) -> None:
        net = Decimal(0)
        taxed: dict[str, Decimal] = {}
        for line in form["Line"]:
            if line["DetailType"] == "SalesItemLineDetail":
                amount, code = Decimal(line["Amount"]), line["SalesItemLineDetail"]["TaxCodeRef"]["value"]
                net, taxed[code] = net + amount, taxed.get(code, Decimal(0)) + amount
            elif line["DetailType"] == "DiscountLineDetail":
                net -= Decimal(line["Amount"])
        inclusive = self.settings.country != "US" and form.get("GlobalTaxCalculation") == "TaxInclusive"
        tax, rows = self._tax(form, old, taxed, inclusive=inclusive)
        subtotal = sum(
            (Decimal(line["Amount"]) for line in form["Line"] if line["DetailType"] == "SalesItemLineDetail"),
            Decimal(0),
        )
        form["Line"].append({"Amount": plain(subtotal), "DetailType": "SubTotalLineDetail", "SubTotalLineDetail": {}})
        form["TxnTaxDetail"] = {"TotalTax": plain(tax), **({"TaxLine": rows} if rows else {})}
        total = net if inclusive else net + tax
        if total < 0:
            raise business("Transaction amount must not be negative")
        form["TotalAmt"] = plain(total)

    def _tax(
        self, form: Record, old: Record | None, taxed: dict[str, Decimal], *, inclusive: bool
    ) -> tuple[Decimal, list[Record]]:
        """Compute the tax by code; a TotalTax that was sent overrides it (abroad only as far as roundings go)."""
        rows = []
        for code, base in taxed.items():
            percent = self.percent(code)
            amount = rounded(base - base / (1 + percent / 100)) if inclusive else rounded(base * percent / 100)
            if percent:
                rows.append(self._tax_row(code, percent, base - amount if inclusive else base, amount))
        computed = sum((Decimal(row["Amount"]) for row in rows), Decimal(0))
        sent = (form.get("TxnTaxDetail") or {}).get("TotalTax")
        unchanged = old is not None and (old.get("TxnTaxDetail") or {}).get("TotalTax") == sent
        counts = self.settings.own_tax and self.settings.country == "US"
        if sent is None or counts or (unchanged and old is not None and _bases(old) != taxed):
            return computed, rows
        wanted = number(sent, "TotalTax")
        if self.settings.country != "US" and abs(wanted - computed) > Decimal("0.05") * max(1, len(form["Line"])):
            raise business(f"The tax {wanted} is not the tax of the lines ({computed})")
        if len(rows) == 1:
            rows[0]["Amount"] = plain(wanted)
        return wanted, rows

    def percent(self, code: str) -> Decimal:
        """Return the rate of a tax code."""
        if self.settings.country == "US":
            return self.settings.tax_percent if code == "TAX" else Decimal(0)
        rates = self.store.rows["TaxCode"][code]["SalesTaxRateList"]["TaxRateDetail"]
        ids = [rate["TaxRateRef"]["value"] for rate in rates]
        return sum((Decimal(self.store.rows["TaxRate"][id_]["RateValue"]) for id_ in ids), Decimal(0))

    def _tax_row(self, code: str, percent: Decimal, base: Decimal, amount: Decimal) -> Record:
        rate = "1"
        if self.settings.country != "US":
            rate = self.store.rows["TaxCode"][code]["SalesTaxRateList"]["TaxRateDetail"][0]["TaxRateRef"]["value"]
        detail: dict[str, Any] = {
            "TaxRateRef": {"value": rate},
            "PercentBased": True,
            "TaxPercent": plain(percent),
            "NetAmountTaxable": plain(base),
        }
        return {"Amount": plain(amount), "DetailType": "TaxLineDetail", "TaxLineDetail": detail}


def _own(lines: list[Record]) -> list[Record]:
    return [line for line in lines if line.get("DetailType") != "SubTotalLineDetail"]


def _bases(form: Record) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for line in form["Line"]:
        if line["DetailType"] == "SalesItemLineDetail":
            code = line["SalesItemLineDetail"]["TaxCodeRef"]["value"]
            found[code] = found.get(code, Decimal(0)) + Decimal(line["Amount"])
    return found
