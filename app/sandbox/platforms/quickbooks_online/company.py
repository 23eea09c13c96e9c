"""One company: create, read, update, void, delete, query, change data capture and batch."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

from msgspec import Raw

from app.sandbox.platforms.quickbooks_online import query
from app.sandbox.platforms.quickbooks_online.payments import Payments
from app.sandbox.platforms.quickbooks_online.refusals import (
    Record,
    Refusal,
    bad_query,
    business,
    duplicate_name,
    invalid_operation,
    missing,
    too_long,
    unsupported,
)
from app.sandbox.platforms.quickbooks_online.sales import FORMS, Forms, Settings, check_period
from app.sandbox.platforms.quickbooks_online.store import ENTITIES, Look, Store, ref, stamp

BATCH = 30
CDC_ENTITIES = frozenset(("Customer", "Item", "Account", "PaymentMethod", "Payment", *FORMS))
_WRITABLE = frozenset(("Customer", "Item", "PaymentMethod", "Account", "Payment", *FORMS))
_NAME = {"Customer": "DisplayName"}
_NAME_LIMIT = {"DisplayName": 500, "Name": 100}
_TAX_RATES = (0, 5, 7, 10, 19, 20, 21, 25)
# Ids as in the vendor's own sample company, where most examples use them.
ACCOUNTS = (
    ("1", "Sales", "Income"),
    ("4", "Undeposited Funds", "Other Current Asset"),
    ("8", "Fees", "Expense"),
    ("35", "Checking", "Bank"),
    ("82", "Shipping Income", "Income"),
    ("84", "Accounts Receivable (A/R)", "Accounts Receivable"),
    ("86", "Discounts given", "Income"),
    ("88", "Rounding", "Income"),
)


class Company:
    """The books of one realm."""

    def __init__(
        self,
        realm: str,
        settings: Settings,
        clock: Callable[[], datetime],
        visible: Callable[[datetime], bool],
        settled: Callable[[datetime], bool],
    ) -> None:
        self.realm, self.settings, self.clock = realm, settings, clock
        self.store = Store(clock, visible, settled)
        self.forms, self.payments = Forms(self.store, settings), Payments(self.store, settings)
        self._seed()

    def _seed(self) -> None:
        for id_, name, kind in ACCOUNTS:
            fields = {"Name": name, "FullyQualifiedName": name, "AccountType": kind, "Active": True}
            self.store.add("Account", fields, id_)
        income = {"value": self.forms.account("Sales"), "name": "Sales"}
        for name in ("Services", "Hours"):
            self.store.add(
                "Item",
                {
                    "Name": name,
                    "FullyQualifiedName": name,
                    "Type": "Service",
                    "Active": True,
                    "IncomeAccountRef": income,
                },
            )
        for name in ("Cash", "Check", "Credit Card"):
            self.store.add("PaymentMethod", {"Name": name, "Active": True})
        for percent in _TAX_RATES:
            rate = self.store.add("TaxRate", {"Name": f"{percent}% rate", "RateValue": percent, "Active": True})
            detail = {"TaxRateRef": {"value": rate["Id"]}, "TaxTypeApplicable": "TaxOnAmount", "TaxOrder": 0}
            sales = {"TaxRateDetail": [detail]}
            self.store.add(
                "TaxCode",
                {
                    "Name": f"{percent}% S",
                    "Active": True,
                    "Taxable": percent > 0,
                    "TaxGroup": True,
                    "SalesTaxRateList": sales,
                },
            )
        self.store.changes.clear()
        for entity, rows in self.store.rows.items():
            for id_ in rows:
                self.store.silently(entity, id_)  # a company has these long before anybody looks

    # ----------------------------------------------------------------------------------------- writing

    def write(self, entity: str, body: Record, operation: str = "", include: str = "") -> Record:
        """Do what a POST on an entity asks for, and return the record."""
        if entity not in _WRITABLE:
            raise unsupported(f"Operation on {entity} is not supported")
        if operation == "delete":
            return self._delete(entity, body)
        if operation == "void" or include == "void":
            return self._void(entity, body)
        return self._update(entity, body) if "Id" in body else self._create(entity, body)

    def written(self, entity: str, body: Record, operation: str = "", include: str = "") -> Record | Raw:
        """Write, and return what the reply shows: a later item of the same batch does not change it."""
        record = self.write(entity, body, operation, include)
        return record if operation == "delete" else self.store.shown(entity, record["Id"])

    def _create(self, entity: str, body: Record) -> Record:
        if entity in FORMS:
            return self.store.add(entity, self.forms.build(entity, body, None))
        if entity == "Payment":
            record = self.store.add(entity, self.payments.build(body, None))
            self.payments.apply(record)
            return record
        return self.store.add(entity, self._named(entity, body, None))

    def _update(self, entity: str, body: Record) -> Record:
        old = self.store.current(entity, body)
        wanted = {**old, **body} if body.get("sparse") is True else body
        if entity == "Payment":
            return self._repaid(old, wanted)
        if entity in FORMS:
            made = self.forms.build(entity, wanted, old)
            if entity in {"Invoice", "CreditMemo"} and Decimal(made["Balance"]) < 0:
                self._loosened(entity, old, made)
        else:
            made = self._named(entity, wanted, old)
        return self._replaced(entity, old, made)

    def _loosened(self, entity: str, old: Record, made: Record) -> None:
        """Refuse a total below what is applied already; QuickBooks leaves that to the payments."""
        raise business(f"{entity} {old['Id']} has more applied to it than its new total {made['TotalAmt']}")

    def _repaid(self, old: Record, wanted: Record) -> Record:
        made = self.payments.build(wanted, old)
        self.payments.release(old)
        record = self._replaced("Payment", old, made)
        self.payments.apply(record)
        return record

    def _replaced(self, entity: str, old: Record, made: Record) -> Record:
        kept = {name: old[name] for name in ("domain", "sparse", "Id", "SyncToken", "MetaData")}
        old.clear()
        old.update({**made, **kept})
        return self.store.commit(entity, old)

    def _named(self, entity: str, body: Record, old: Record | None) -> Record:
        name = _NAME.get(entity, "Name")
        made = {
            key: value
            for key, value in body.items()
            if key not in {"domain", "sparse", "status", "MetaData", "Id", "SyncToken"}
        }
        if entity == "Customer" and not made.get(name):
            made[name] = " ".join(
                str(made[part]) for part in ("GivenName", "FamilyName") if made.get(part)
            ) or made.get("CompanyName", "")
        if not made.get(name):
            raise missing(name)
        wanted = str(made[name])
        if len(wanted) > _NAME_LIMIT[name]:
            raise too_long(name, _NAME_LIMIT[name])
        if any(sign in wanted for sign in ":\t\n"):
            raise invalid_operation(f"{name} must not contain a colon, a tab or a new line")
        made.setdefault("Active", True)
        if old is not None and old["Active"] and made["Active"] is False:
            made[name] = f"{wanted} (deleted)"
        if any(row is not old for row in self.store.having(entity, name, str(made[name]))):
            raise duplicate_name(wanted)
        return self._defaults(entity, made)

    def _defaults(self, entity: str, made: Record) -> Record:
        if entity == "Customer":
            made["FullyQualifiedName"] = made["PrintOnCheckName"] = made["DisplayName"]
            made.setdefault("Taxable", False)
            made.setdefault("Job", False)
            made.setdefault("Balance", 0)
            if self.settings.multi_currency:
                made["CurrencyRef"] = {"value": ref(made, "CurrencyRef") or self.settings.home_currency}
        if entity == "Item":
            made["FullyQualifiedName"] = made["Name"]
            made.setdefault("Type", "Service")
            account = ref(made, "IncomeAccountRef")
            if account not in self.store.rows["Account"]:
                raise missing("IncomeAccountRef")
            made["IncomeAccountRef"] = {"value": account, "name": self.store.rows["Account"][account]["Name"]}
        return made

    def _void(self, entity: str, body: Record) -> Record:
        if entity not in {"Invoice", "Payment", "SalesReceipt"}:
            raise unsupported(f"Void is not supported for {entity}")
        record = self.store.current(entity, body)
        check_period(self.settings, record["TxnDate"])
        if entity == "Payment":
            self.payments.release(record)
            record["Line"], record["UnappliedAmt"] = [], 0
        else:
            self.payments.forget(entity, record)
            _zero(record)
        record["TotalAmt"] = 0
        note = str(record.get("PrivateNote") or "")
        record["PrivateNote"] = note if note.startswith("Voided") else f"Voided - {note}" if note else "Voided"
        return self.store.commit(entity, record, "Void")

    def _delete(self, entity: str, body: Record) -> Record:
        if entity not in {"Payment", *FORMS}:
            raise unsupported(f"Operation delete on {entity} is not supported; make it inactive")
        record = self.store.current(entity, body)
        check_period(self.settings, record["TxnDate"])
        if entity == "Payment":
            self.payments.release(record)
        elif entity in {"Invoice", "CreditMemo"}:
            self.payments.forget(entity, record)
        self.store.remove(entity, record["Id"])
        return {"status": "Deleted", "domain": "QBO", "Id": record["Id"]}

    def send(self, entity: str, id_: str, to: str) -> Record:
        """Mail a form to the customer."""
        record = self.store.get(entity, id_)
        address = to or (record.get("BillEmail") or {}).get("Address")
        if not address:
            raise missing("BillEmail")
        record["BillEmail"], record["EmailStatus"] = {"Address": address}, "EmailSent"
        record["DeliveryInfo"] = {"DeliveryType": "Email", "DeliveryTime": stamp(self.clock())}
        return self.store.commit(entity, record, "Emailed")

    # ----------------------------------------------------------------------------------------- reading

    def query(self, text: str) -> Record:
        """Return the `QueryResponse` of a select."""
        asked = query.parse(text)
        if asked.entity in {"CompanyInfo", "Preferences"}:
            row = self.info() if asked.entity == "CompanyInfo" else self.preferences()
            return query.run(asked, [Look(self.clock(), row)])
        return query.run(asked, self.store.looks(asked.entity, asked.where))

    def cdc(self, entities: list[str], since: datetime) -> Record:
        """Return the `CDCResponse`; at most 1000 objects, one element per entity, {} where nothing changed."""
        if since < self.clock() - timedelta(days=30):
            raise invalid_operation("changedSince is more than 30 days ago")
        left, found = query.MAX_PAGE, []
        for entity in entities:
            if entity not in CDC_ENTITIES:
                raise bad_query(f"Entity {entity} is not supported by change data capture")
            rows = list(islice(self.store.changed_since(entity, since), left))
            left -= len(rows)
            found.append({entity: rows, "startPosition": 1, "maxResults": len(rows)} if rows else {})
        return {"CDCResponse": [{"QueryResponse": found}]}

    def batch(self, items: list[Record], spoiled: Callable[[], bool]) -> list[Record]:
        """Do every item for itself; a refused one carries its Fault."""
        if len(items) > BATCH:
            raise invalid_operation(f"The batch holds {len(items)} items; at most {BATCH} are allowed")
        return [{**self._item(item, spoiled), "bId": str(item.get("bId", ""))} for item in items]

    def _item(self, item: Record, spoiled: Callable[[], bool]) -> Record:
        try:
            if "Query" in item:
                return {"QueryResponse": self.query(str(item["Query"]))}
            entity = next((name for name in item if name in ENTITIES), "")
            operation = str(item.get("operation") or "")
            if not entity or operation not in {"create", "update", "delete"}:
                raise invalid_operation("A batch item needs an operation and an entity")
            if spoiled():
                raise business("made to fail by the sandbox")
            verb = "delete" if operation == "delete" else ""
            include = "void" if item.get("optionsData") == "void" or item.get("include") == "void" else ""
            return {entity: self.written(entity, item[entity], verb, include)}
        except Refusal as refusal:
            return {"Fault": refusal.fault()}

    def info(self) -> Record:
        """Return `CompanyInfo`."""
        return {
            "CompanyName": f"Sandbox Company {self.realm}",
            "LegalName": f"Sandbox Company {self.realm}",
            "Country": self.settings.country,
            "CompanyAddr": {"Id": "1", "Line1": "123 Sierra Way", "City": "San Pablo"},
            "FiscalYearStartMonth": "January",
            "SupportedLanguages": "en",
            "domain": "QBO",
            "sparse": False,
            "Id": "1",
            "SyncToken": "4",
            "MetaData": {"CreateTime": stamp(self.clock()), "LastUpdatedTime": stamp(self.clock())},
        }

    def preferences(self) -> Record:
        """Return `Preferences`: closing date, currencies, own document numbers, tax."""
        until = self.settings.closed_until
        accounting: dict[str, Any] = {"CustomerTerminology": "Customers", "FirstMonthOfFiscalYear": "January"}
        return {
            "AccountingInfoPrefs": {**accounting, **({"BookCloseDate": until.isoformat()} if until else {})},
            "SalesFormsPrefs": {
                "CustomTxnNumbers": self.settings.custom_numbers,
                "AllowDeposit": True,
                "AllowShipping": True,
            },
            "TaxPrefs": {"UsingSalesTax": True, "PartnerTaxEnabled": self.settings.country == "US"},
            "CurrencyPrefs": {
                "MultiCurrencyEnabled": self.settings.multi_currency,
                "HomeCurrency": {"value": self.settings.home_currency},
            },
            "domain": "QBO",
            "sparse": False,
            "Id": "1",
            "SyncToken": "7",
            "MetaData": {"CreateTime": stamp(self.clock()), "LastUpdatedTime": stamp(self.clock())},
        }


def _zero(form: Record) -> None:
    form["Line"] = [_emptied(line) for line in form["Line"]]
    form["TxnTaxDetail"], form["Balance"] = {"TotalTax": 0}, 0
    if "LinkedTxn" in form:
        form["LinkedTxn"] = []


def _emptied(line: Record) -> Record:
    empty = {**line, "Amount": 0} if "Amount" in line else line
    if not (detail := line.get("SalesItemLineDetail")):
        return empty
    zeros = {name: 0 for name in ("Qty", "UnitPrice") if name in detail}
    return {**empty, "SalesItemLineDetail": {**detail, **zeros}}
