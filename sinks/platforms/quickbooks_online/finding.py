"""Find or create what a form refers to: its customer, its items, its accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from app.core.errors import DuplicateError, RejectedError
from app.core.talk import Talk
from schemas.facts import Line, Party
from schemas.platforms.quickbooks_online.query import quoted
from schemas.platforms.quickbooks_online.translate import KIND_ITEMS
from sinks.platforms.quickbooks_online.asking import WORTHWHILE, Asking, Row

NAME_LENGTH = 100
_FORBIDDEN = str.maketrans(dict.fromkeys(":\t\n\r", " "))
_ACCOUNTS = {"goods": "sales", "fee": "fees"}


def clean(name: str) -> str:
    """Return *name* without the signs that QuickBooks forbids, at most 100 characters."""
    return " ".join(name.translate(_FORBIDDEN).split())[:NAME_LENGTH]


def display_names(party: Party, currency: str) -> list[str]:
    """Return the names that this buyer may have, best first: plain, with e-mail, each also per currency.

    DisplayName is unique over customers, vendors and employees, and a customer has one currency: so a second John
    Smith carries his e-mail, and a buyer in a second currency carries the currency.
    """
    name = clean(party.name) or clean(party.email) or "Customer"
    told = [name] if not party.email or name == clean(party.email) else [name, clean(f"{name[:60]} ({party.email})")]
    return [*told, *(f"{name[:90]} ({currency})" for name in told)]


def lock_of(party: Party) -> str:
    """Return the natural key that is locked while this buyer is looked for and made."""
    return f"customer:{(party.email or clean(party.name)).casefold()}"


def is_same(row: Row, party: Party, currency: str) -> bool:
    """Tell whether a customer of one of our names is this buyer: active, same currency, no other e-mail."""
    mail = str((row.get("PrimaryEmailAddr") or {}).get("Address") or "")
    theirs = (row.get("CurrencyRef") or {}).get("value") or currency
    agree = not mail or not party.email or mail.casefold() == party.email.casefold()
    return row.get("Active", True) is not False and theirs == currency and agree


def item_name(line: Line) -> str:
    """Return the name of the item that *line* sells."""
    return KIND_ITEMS.get(line.kind) or clean(line.sku) or clean(line.name) or "Sales"


class Finding(Asking):
    """Looks by name, creates what is missing under the lock of its natural key."""

    def customer(self, party: Party, currency: str) -> Talk[Row]:
        """Return this buyer's customer in *currency*."""
        found = yield from self.customers([(party, currency)])
        return found[0]

    def customers(self, wanted: Sequence[tuple[Party, str]]) -> Talk[list[Row]]:
        """Return the customers of many buyers with one query; many that are missing are made together."""
        rows = yield from self._called(wanted)
        rows += yield from self._new_customers(wanted, rows)
        found: list[Row] = []
        for party, currency in wanted:
            row = _match(rows, party, currency)
            if row is None:
                row = yield from self._new_customer(party, currency, rows)
                rows.append(row)
            found.append(row)
        return found

    def _called(self, wanted: Sequence[tuple[Party, str]]) -> Talk[list[Row]]:
        names = sorted({name for party, currency in wanted for name in display_names(party, currency)})
        return (yield from self.query("Customer", f"DisplayName in ({quoted(names)})"))

    def _new_customers(self, wanted: Sequence[tuple[Party, str]], rows: Sequence[Row]) -> Talk[list[Row]]:
        """Create those that nobody is yet under their first free names; a refused one is left to be made alone."""
        taken = {_name(row) for row in rows}
        made: dict[str, Row] = {}
        buyers: set[tuple[str, str]] = set()
        for party, currency in wanted:
            buyer = (lock_of(party), currency)
            name = next((name for name in display_names(party, currency) if name.casefold() not in taken), "")
            if not name or buyer in buyers or _match(rows, party, currency) is not None:
                continue
            buyers.add(buyer)
            taken.add(name.casefold())
            made[name] = {**customer_body(party, name), "CurrencyRef": {"value": currency}}
        return list((yield from self.create_many("Customer", made)).values())

    def _new_customer(self, party: Party, currency: str, rows: Sequence[Row]) -> Talk[Row]:
        """Create under the first free name.

        A name that is taken nevertheless belongs to the same buyer, made by somebody else in the meantime, or to a
        vendor or an employee: then the next name is tried.
        """
        taken = {_name(row) for row in rows}
        for name in display_names(party, currency):
            if name.casefold() in taken:
                continue
            body = {**customer_body(party, name), "CurrencyRef": {"value": currency}}
            try:
                return (yield from self.save("Customer", body, f"customer:{name}", lock=lock_of(party)))
            except DuplicateError:
                now = yield from self._called([(party, currency)])
                if (row := _match(now, party, currency)) is not None:
                    return row
        raise RejectedError("QuickBooks: every name that this customer may have is taken; rename the customer.")

    def items(self, lines: Iterable[Line]) -> Talk[dict[str, str]]:
        """Return item name -> id for all *lines*; missing items are made."""
        kinds = {item_name(line): line for line in lines}
        rows = yield from self.query("Item", f"Name in ({quoted(sorted(kinds))})")
        found = {str(row["Name"]).casefold(): str(row["Id"]) for row in rows}
        missing = {
            name.casefold(): (name, line) for name, line in sorted(kinds.items()) if name.casefold() not in found
        }
        made: dict[str, Row] = {}
        for name, line in missing.values() if len(missing) >= WORTHWHILE else ():
            made[name] = yield from self._item_body(name, line)
        for name, row in (yield from self.create_many("Item", made)).items():
            found[name.casefold()] = str(row["Id"])
        for key, (name, line) in missing.items():
            if key not in found:
                found[key] = yield from self._new_item(name, line)
        return {name: found[name.casefold()] for name in kinds}

    def _item_body(self, name: str, line: Line) -> Talk[Row]:
        account = self.connection.accounts.get(_ACCOUNTS.get(line.kind, line.kind)) or self.connection.accounts.get(
            "sales"
        )
        if not account:
            account = yield from self.account("AccountType = 'Income'")
        body: Row = {"Name": name, "Type": "Service", "IncomeAccountRef": {"value": account}}
        if line.sku and line.kind == "goods":
            body["Sku"] = line.sku[:NAME_LENGTH]
        return body

    def _new_item(self, name: str, line: Line) -> Talk[str]:
        body = yield from self._item_body(name, line)
        try:
            row = yield from self.save("Item", body, f"item:{name}", lock=f"item:{name.casefold()}")
        except DuplicateError:
            rows = yield from self.query("Item", f"Name = {quoted([name])}")
            if not rows:
                raise
            row = rows[0]
        return str(row["Id"])

    def account(self, clause: str) -> Talk[str]:
        """Return the first account that *clause* finds."""
        rows = yield from self.query("Account", clause)
        if not rows:
            raise RejectedError(
                f"QuickBooks: there is no account with {clause}; name one in the connection's accounts."
            )
        return str(min(rows, key=lambda row: int(row["Id"]))["Id"])


def customer_body(party: Party, name: str) -> Row:
    """Return what is sent to create a customer."""
    body: Row = {"DisplayName": name}
    if party.email:
        body["PrimaryEmailAddr"] = {"Address": party.email}
    if party.phone:
        body["PrimaryPhone"] = {"FreeFormNumber": party.phone}
    if party.address is not None:
        body["BillAddr"] = address(party)
    return body


def address(party: Party) -> Row:
    """Return the buyer's address as QuickBooks names its parts."""
    found = party.address
    if found is None:
        return {}
    parts = {
        "Line1": found.line1,
        "Line2": found.line2,
        "City": found.city,
        "CountrySubDivisionCode": found.region,
        "PostalCode": found.postcode,
        "Country": found.country,
    }
    return {name: value for name, value in parts.items() if value}


def _match(rows: Sequence[Row], party: Party, currency: str) -> Row | None:
    by_name = {_name(row): row for row in rows}
    candidates = [by_name.get(name.casefold()) for name in display_names(party, currency)]
    return next((row for row in candidates if row is not None and is_same(row, party, currency)), None)


def _name(row: Row) -> str:
    return str(row["DisplayName"]).casefold()
