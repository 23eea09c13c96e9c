"""What the simulated organisation holds: contacts, settings, and the rules that all its documents share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from app.sandbox.platforms.xero.render import Row, cents
from app.sandbox.platforms.xero.texts import Texts

ZERO = Decimal(0)
ACCOUNTS: tuple[tuple[str, str, str, str, bool], ...] = (
    ("090", "Business Bank Account", "BANK", "ASSET", True),
    ("091", "Payments Clearing", "CURRENT", "ASSET", True),
    ("200", "Sales", "REVENUE", "REVENUE", False),
    ("210", "Shipping", "REVENUE", "REVENUE", False),
    ("220", "Discounts", "REVENUE", "REVENUE", False),
    ("404", "Bank Fees", "EXPENSE", "EXPENSE", False),
    ("860", "Rounding", "EXPENSE", "EXPENSE", False),
)
RATES = {
    "OUTPUT": ("Tax on Sales", Decimal(20)),
    "OUTPUT2": ("20% Sales", Decimal(20)),
    "RROUTPUT": ("Reduced Rate", Decimal(5)),
    "ZERORATEDOUTPUT": ("Zero Rated", ZERO),
    "NONE": ("Tax Exempt", ZERO),
    "TAX001": ("19% Sales", Decimal(19)),
    "TAX002": ("7% Sales", Decimal(7)),
}
CURRENCIES = ("EUR", "USD", "GBP", "BRL", "AUD", "CAD", "CHF", "JPY", "NZD", "SEK")
_CONTACT_FIELDS = ("ContactNumber", "Name", "FirstName", "LastName", "EmailAddress", "TaxNumber", "ContactStatus")
_CONTACT_LISTS = ("Addresses", "Phones", "ContactPersons")
_NUMBERED = {"InvoiceNumber": "InvoiceID", "CreditNoteNumber": "CreditNoteID"}
_LOCKED = "The document date cannot be before the period lock date."


class InvalidError(ValueError):
    """An element that Xero refuses; the texts are the vendor's validation errors."""

    def __init__(self, *texts: str) -> None:
        super().__init__(" ".join(texts))
        self.texts = texts


class Ledger:
    """State of one organisation; records are dicts with Decimals, days and times, rendered only when shown."""

    def __init__(self, clock: Callable[[], datetime], random: Random) -> None:
        self.clock, self._random = clock, random
        self.contacts: dict[str, Row] = {}
        self.invoices: dict[str, Row] = {}
        self.credits: dict[str, Row] = {}
        self.payments: dict[str, Row] = {}
        self.advances: dict[str, Row] = {}
        self.prepayments: dict[str, Row] = {}
        self.quotes: dict[str, Row] = {}
        self.history: defaultdict[str, list[Row]] = defaultdict(list)
        self.accounts = {row[0]: self._account(*row) for row in ACCOUNTS}
        self.currencies = list(CURRENCIES)
        self.lock_date: date | None = None
        self.own_tax = False
        """Take no TaxAmount from anybody: the rate of the line's tax type holds, to the cent of each line."""
        self.marks_mailed = False
        """Whether an e-mail that the API asks for marks its invoice as sent: no source says that it does."""
        self.changed: Callable[[str, str, Row], None] = lambda *_: None
        self.contact_index: dict[str, defaultdict[str, set[str]]] = {
            field: defaultdict(set) for field in ("EmailAddress", "Name", "ContactNumber")
        }
        self._tables = (
            ("InvoiceID", self.invoices),
            ("CreditNoteID", self.credits),
            ("OverpaymentID", self.advances),
            ("PrepaymentID", self.prepayments),
            ("PaymentID", self.payments),
            ("QuoteID", self.quotes),
            ("ContactID", self.contacts),
        )
        self.marks: dict[str, Texts] = {name: Texts() for name in ("PaymentID", "InvoiceID", "CreditNoteID")}
        """References, findable by a part; by the name of the id of what carries them."""
        self.by_number: dict[str, defaultdict[str, dict[str, None]]] = {name: defaultdict(dict) for name in _NUMBERED}
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._numbered: dict[str, str] = {}
        self._contact_numbers: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def _account(self, code: str, name: str, type_: str, class_: str, payable: bool) -> Row:  # noqa: FBT001 - a row
        return {
            "AccountID": self.new_id(),
            "Code": code,
            "Name": name,
            "Type": type_,
            "Class": class_,
            "Status": "ACTIVE",
            "EnablePaymentsToAccount": payable,
            "TaxType": "OUTPUT" if type_ == "REVENUE" else "NONE",
        }

    # --------------------------------------------------------------------------------------- what all share

    def new_id(self) -> str:
        """Return a new UUID, the same on every run of one seed."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def today(self) -> date:
        """Return the organisation's day."""
        return self.clock().date()

    def touch(self, row: Row, category: str, kind: str = "UPDATE") -> None:
        """Stamp a change and tell who listens."""
        row["UpdatedDateUTC"] = self.clock()
        row.setdefault("created", row["UpdatedDateUTC"])
        id_field, table = next((name, table) for name, table in self._tables if name in row)
        id_ = row[id_field]
        table[id_] = table.pop(id_, row)  # kept in the order of changes, so that lists need not sort
        self.index(row)
        self.changed(category, kind, row)

    def index(self, row: Row) -> None:
        """Keep a changed record findable by its number and reference; what was rendered of it is stale."""
        row["version"] = row.get("version", 0) + 1
        for id_field, texts in self.marks.items():
            if id_field in row:
                texts.put(row[id_field], row["Reference"])
        for name, id_field in _NUMBERED.items():
            if row.get(name):
                self.by_number[name][row[name]][row[id_field]] = None

    def number(self, prefix: str, taken: Mapping[str, str] | None = None) -> str:
        """Return the next free number of a sequence."""
        while True:
            self._numbers[prefix] += 1
            number = f"{prefix}-{self._numbers[prefix]:04d}"
            if number not in (taken or {}):
                return number

    def open_period(self, day: date) -> None:
        """Raise InvalidError when *day* lies in a closed period."""
        if self.lock_date is not None and day <= self.lock_date:
            raise InvalidError(_LOCKED)

    def bank(self, account: Mapping[str, Any]) -> Row:
        """Return the account a payment names, if it takes payments."""
        found = self.find_account(account)
        if found is None or not (found["Type"] == "BANK" or found["EnablePaymentsToAccount"]):
            raise InvalidError("The Account must be a bank account or have payments enabled.")
        return found

    def find_account(self, named: Mapping[str, Any]) -> Row | None:
        """Return the account with that code or id."""
        if named.get("Code"):
            return self.accounts.get(str(named["Code"]))
        return next((row for row in self.accounts.values() if row["AccountID"] == named.get("AccountID")), None)

    # --------------------------------------------------------------------------------------------- contacts

    def save_contact(self, body: Mapping[str, Any], *, create: bool, places: int = 2) -> Row:
        """Create a contact, or update the one that *body* names by id or number."""
        del places
        existing = None if create else self.known_contact(body, by_name=False)
        name = str(body.get("Name") or (existing or {}).get("Name") or "").strip()
        if not name:
            raise InvalidError("The contact name must be specified.")
        self._free(name, str(body.get("ContactNumber") or ""), existing)
        row: Row = existing if existing is not None else {"ContactID": self.new_id(), "ContactStatus": "ACTIVE"}
        row.setdefault("IsCustomer", True)
        row.setdefault("IsSupplier", False)
        self._names.pop(self._key(row), None)
        for field, values in self.contact_index.items():
            values[row.get(field) or ""].discard(row["ContactID"])
        row.update({field: body[field] for field in _CONTACT_FIELDS if field in body})
        row.update({field: body[field] for field in _CONTACT_LISTS if field in body})
        row["Name"] = name
        self.index_contact(row)
        self.touch(row, "CONTACT", "UPDATE" if existing is not None else "CREATE")
        return row

    def _free(self, name: str, number: str, existing: Row | None) -> None:
        mine = existing["ContactID"] if existing is not None else None
        if self._names.get(name.casefold(), mine) != mine:
            raise InvalidError(
                f"The contact name {name} is already assigned to another contact. "
                "The contact name must be unique across all active contacts."
            )
        if number and self._contact_numbers.get(number, mine) != mine:
            raise InvalidError("The Contact Number is already assigned to another contact.")

    def _key(self, row: Row) -> str:
        return str(row.get("Name", "")).casefold()

    def index_contact(self, row: Row) -> None:
        """Keep names and numbers findable; an archived contact frees its name."""
        self.contacts[row["ContactID"]] = row
        for field, values in self.contact_index.items():
            values[row.get(field) or ""].add(row["ContactID"])
        if row["ContactStatus"] == "ACTIVE":
            self._names[self._key(row)] = row["ContactID"]
        elif self._names.get(self._key(row)) == row["ContactID"]:
            del self._names[self._key(row)]
        if row.get("ContactNumber"):
            self._contact_numbers[row["ContactNumber"]] = row["ContactID"]

    def known_contact(self, named: Mapping[str, Any], *, by_name: bool = True) -> Row | None:
        """Return the contact named by id, by our number, or (in documents) by name."""
        if named.get("ContactID"):
            if (found := self.contacts.get(str(named["ContactID"]))) is None:
                raise InvalidError("The contact could not be found.")
            return found
        number = self._contact_numbers.get(str(named.get("ContactNumber") or ""))
        name = self._names.get(str(named.get("Name") or "").casefold()) if by_name else None
        return self.contacts.get(number or name or "")

    def party(self, named: Mapping[str, Any] | None) -> Row:
        """Return the contact of a document; a new name makes a new contact, an archived one is refused."""
        if not named or not any(named.get(key) for key in ("ContactID", "ContactNumber", "Name")):
            raise InvalidError("A Contact must be specified for this type of transaction.")
        row = self.known_contact(named) or self.save_contact(named, create=True)
        if row["ContactStatus"] != "ACTIVE":
            raise InvalidError("The contact has been archived and cannot be used; it may have been merged or archived.")
        return row

    # ------------------------------------------------------------------------------------------------ lines

    def lines(self, bodies: Iterable[Mapping[str, Any]], kind: str, *, places: int, draft: bool) -> list[Row]:
        """Return line items with what Xero computes: amounts, tax, ids."""
        return [self._line(body, kind, places=places, draft=draft) for body in bodies]

    def _line(self, body: Mapping[str, Any], kind: str, *, places: int, draft: bool) -> Row:
        quantity = Decimal(body.get("Quantity", 1))
        given = body.get("LineAmount")
        unit = body.get("UnitAmount")
        if unit is None:
            unit = Decimal(given) / quantity if given is not None and quantity else ZERO
        unit = Decimal(unit).quantize(Decimal(1).scaleb(-places))
        amount = cents(quantity * unit)
        if given is not None and cents(Decimal(given)) != amount:
            raise InvalidError(f"The line total {given} does not match the expected line total {amount}")
        code = str(body.get("AccountCode") or "")
        account = self.accounts.get(code)
        if account is None and (code or not draft):
            raise InvalidError(f"Account code '{code}' is not a valid code for this document.")
        tax_type = str(body.get("TaxType") or (account or {}).get("TaxType") or "NONE")
        if tax_type not in RATES:
            raise InvalidError(f"The TaxType code '{tax_type}' does not exist or cannot be used here.")
        tax = None if self.own_tax else body.get("TaxAmount")
        computed = ZERO if kind == "NoTax" else _tax(amount, RATES[tax_type][1], inclusive=kind == "Inclusive")
        return {
            "LineItemID": str(body.get("LineItemID") or self.new_id()),
            "Description": str(body.get("Description") or ""),
            "ItemCode": body.get("ItemCode"),
            "Quantity": quantity,
            "UnitAmount": unit,
            "LineAmount": amount,
            "TaxType": tax_type,
            "TaxAmount": computed if tax is None else cents(Decimal(tax)),
            "AccountCode": code or None,
            "AccountID": account["AccountID"] if account else None,
            "Tracking": [],
        }

    def totals(self, row: Row) -> None:
        """Write SubTotal, TotalTax and Total of a document's lines."""
        tax = sum((line["TaxAmount"] for line in row["LineItems"]), ZERO)
        lines = sum((line["LineAmount"] for line in row["LineItems"]), ZERO)
        net = lines - tax if row["LineAmountTypes"] == "Inclusive" else lines
        row.update(SubTotal=cents(net), TotalTax=cents(tax), Total=cents(net + tax))
        if row["Total"] < 0:
            raise InvalidError("The total of this document cannot be negative.")


def _tax(amount: Decimal, rate: Decimal, *, inclusive: bool) -> Decimal:
    return cents(amount * rate / (100 + rate if inclusive else 100))


def day_of(value: Any, field: str) -> date:  # noqa: ANN401 - any JSON
    """Return a day as clients send it (YYYY-MM-DD, also with a time, also in Microsoft's form)."""
    text = str(value)
    try:
        if text.startswith("/Date("):
            milliseconds = int(text.removeprefix("/Date(").split(")")[0].split("+")[0])
            return date.fromordinal(date(1970, 1, 1).toordinal() + milliseconds // 86_400_000)
        return date.fromisoformat(text[:10])
    except ValueError as error:
        raise InvalidError(f"{field} is not a valid date.") from error
