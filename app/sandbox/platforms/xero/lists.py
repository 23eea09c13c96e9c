"""Xero's lists: which rows a GET shows, in what order, on which page."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from app.sandbox.platforms.xero.money import Books
from app.sandbox.platforms.xero.render import Row
from app.sandbox.platforms.xero.texts import Texts
from app.sandbox.platforms.xero.where import compile_filter, one_of, parts_of

PAGE, LARGEST_PAGE = 100, 1000
_SETS = {"IDs": "", "InvoiceNumbers": "InvoiceNumber", "ContactIDs": "ContactID", "Statuses": "Status"}
_ASKED = frozenset(("InvoiceNumbers", "ContactIDs", "Statuses", "searchTerm"))
_SEARCHED = ("InvoiceNumber", "Reference", "Name", "EmailAddress", "ContactNumber")


class View:
    """A row with the fields that are computed only when a filter asks for them."""

    def __init__(self, row: Row, computed: Mapping[str, Callable[[Row], Any]]) -> None:
        self.row, self._computed = row, computed

    def get(self, name: str) -> Any:  # noqa: ANN401 - a field holds anything
        """Return a field, computed or kept."""
        compute = self._computed.get(name)
        return compute(self.row) if compute is not None else self.row.get(name)


@dataclass(frozen=True)
class Table:
    """One kind of record: where it is kept, how it is found and how it is shown."""

    name: str
    id_field: str
    rows: dict[str, Row]
    show: Callable[[Row, bool, int], Row]
    """(row, with lines, decimals of unit prices) -> what Xero shows."""
    other_id: str = ""
    computed: Mapping[str, Callable[[Row], Any]] = field(default_factory=dict)
    index: Mapping[str, Mapping[str, Collection[str]]] = field(default_factory=dict)
    """field -> value -> ids that have, or had, it."""
    references: Texts | None = None
    shows: Callable[[Row], tuple[Row, ...]] | None = None
    """The records of which a row shows something; None where what was rendered is not kept."""
    sized: bool = True
    """Whether the list takes a page size and tells where its page stands."""

    def stand(self, row: Row) -> tuple[int, ...] | None:
        """Return what changes whenever the row would be shown differently."""
        return None if self.shows is None else tuple(one["version"] for one in self.shows(row))

    def page(self, rows: list[Row], query: Mapping[str, str]) -> tuple[list[Row], Row | None]:
        """Return the page that a query asks for and where it stands."""
        found, stand = page(rows, query if self.sized else {**query, "pageSize": str(PAGE)})
        return found, stand if self.sized else None

    def one(self, wanted: str) -> Row | None:
        """Return the row with that id, or with that number where Xero takes it in the address."""
        found = self.rows.get(wanted)
        if found is None and self.other_id:
            ids = self.index[self.other_id].get(wanted, ())
            rows = [self.rows[id_] for id_ in ids if id_ in self.rows]
            return next((row for row in rows if row.get(self.other_id) == wanted), None)
        return found

    def chosen(self, query: Mapping[str, str], since: datetime | None, seen: Callable[[Row], bool] | None) -> list[Row]:
        """Return the rows that a query asks for, oldest change first; BadFilterError for an unknown filter."""
        rows = self._candidates(query, since)
        if seen is not None:
            rows = [row for row in rows if seen(row)]
        if query.get("where"):
            rows = self._filtered(rows, query["where"])
        if not query.keys().isdisjoint(_ASKED):
            rows = [row for row in rows if self._matches(View(row, self.computed), query)]
        order = query.get("order", "")
        return self._ordered(rows, order) if order and order != "UpdatedDateUTC ASC" else rows

    def _candidates(self, query: Mapping[str, str], since: datetime | None) -> list[Row]:
        """Return rows by id, by an indexed field, or by time: a table is kept in the order of its changes."""
        where = query.get("where", "")
        equal, parts = one_of(where), parts_of(where)
        if query.get("IDs"):
            ids: Iterable[str] = dict.fromkeys(query["IDs"].split(","))
        elif query.get("InvoiceNumbers") and "InvoiceNumber" in self.index:
            ids = self._indexed("InvoiceNumber", query["InvoiceNumbers"].split(","))
        elif equal is not None and equal[0] in self.index:
            ids = self._indexed(equal[0], equal[1])
        elif parts is not None and parts[0] == "Reference" and self.references is not None and all(parts[1]):
            ids = sorted({id_ for part in parts[1] for id_ in self.references.having(part)})
        else:
            return _since(self.rows, since)
        rows = [self.rows[id_] for id_ in ids if id_ in self.rows]
        found = [row for row in rows if since is None or row["UpdatedDateUTC"] >= since]
        return sorted(found, key=lambda row: row["UpdatedDateUTC"])

    def _indexed(self, name: str, values: Iterable[str]) -> list[str]:
        return sorted({id_ for value in values for id_ in self.index[name].get(value, ())})

    def _filtered(self, rows: list[Row], where: str) -> list[Row]:
        """Return the rows that pass; the two filters that clients ask all the time take a short way."""
        equal, parts = one_of(where), parts_of(where)
        if equal is not None and equal[0] not in self.computed:
            name, values = equal
            return [row for row in rows if row.get(name) in values]
        if parts is not None and parts[0] not in self.computed:
            return [row for row in rows if any(part in (row.get(parts[0]) or "") for part in parts[1])]
        test = compile_filter(where)
        return [row for row in rows if test(View(row, self.computed))]

    def _matches(self, view: View, query: Mapping[str, str]) -> bool:
        for name, wanted in _SETS.items():
            if wanted and query.get(name) and view.get(wanted) not in query[name].split(","):
                return False
        term = query.get("searchTerm", "").casefold()
        return not term or any(term in str(view.get(name) or "").casefold() for name in _SEARCHED)

    def _ordered(self, rows: list[Row], order: str) -> list[Row]:
        for part in reversed(order.split(",")):
            name, _, direction = part.strip().partition(" ")
            rows = sorted(rows, key=self._key(name), reverse=direction.strip().upper() == "DESC")
        return rows

    def _key(self, name: str) -> Callable[[Row], tuple[bool, Any]]:
        def key(row: Row) -> tuple[bool, Any]:
            value = View(row, self.computed).get(name)
            return (value is not None, 0 if value is None else value)

        return key


def tables(books: Books) -> list[Table]:
    """Return the lists of an organisation."""
    document: dict[str, Callable[[Row], Any]] = {
        "Status": books.status,
        "AmountDue": books.due,
        "AmountPaid": books.paid,
        "AmountCredited": books.credited,
        "Contact": lambda row: books.contacts[row["ContactID"]],
    }
    contacts = books.contacts

    def with_contact(row: Row) -> tuple[Row, ...]:
        return row, contacts[row["ContactID"]]

    def with_document(row: Row) -> tuple[Row, ...]:
        return row, *with_contact(books.document_of(row))

    payment = {kind: _paid(books, kind) for kind in ("Invoice", "CreditNote", "Overpayment", "Prepayment")}
    return [
        Table(
            "Invoices",
            "InvoiceID",
            books.invoices,
            lambda row, full, places: books.shown_invoice(row, full=full, places=places),
            "InvoiceNumber",
            document,
            {"InvoiceNumber": books.by_number["InvoiceNumber"]},
            books.marks["InvoiceID"],
            with_contact,
        ),
        Table(
            "CreditNotes",
            "CreditNoteID",
            books.credits,
            lambda row, full, places: books.shown_credit(row, full=full, places=places),
            "CreditNoteNumber",
            document,
            {"CreditNoteNumber": books.by_number["CreditNoteNumber"]},
            books.marks["CreditNoteID"],
            with_contact,
        ),
        Table(
            "Payments",
            "PaymentID",
            books.payments,
            lambda row, full, _: books.shown_payment(row, full=full),
            computed=payment,
            references=books.marks["PaymentID"],
            shows=with_document,
        ),
        Table(
            "Contacts",
            "ContactID",
            contacts,
            lambda row, *_: row,
            "ContactNumber",
            index=books.contact_index,
            shows=lambda row: (row,),
        ),
        *[
            Table(name, id_field, rows, lambda row, *_: books.shown_advance(row), computed=document)
            for name, id_field, rows in (
                ("Overpayments", "OverpaymentID", books.advances),
                ("Prepayments", "PrepaymentID", books.prepayments),
            )
        ],
        Table("Quotes", "QuoteID", books.quotes, lambda row, *_: books.shown_quote(row), sized=False),
    ]


def _since(rows: dict[str, Row], since: datetime | None) -> list[Row]:
    if since is None:
        return list(rows.values())
    found: list[Row] = []
    for row in reversed(rows.values()):
        if row["UpdatedDateUTC"] < since:
            break
        found.append(row)
    return found[::-1]


def _paid(books: Books, kind: str) -> Callable[[Row], Row | None]:
    return lambda row: books.document_of(row) if row["kind"] == kind else None


def page(rows: list[Row], query: Mapping[str, str]) -> tuple[list[Row], Row | None]:
    """Return the page that a query asks for and where it stands; everything without a `page`."""
    if not query.get("page"):
        return rows, None
    number, size = int(query["page"]), min(LARGEST_PAGE, max(1, int(query.get("pageSize") or PAGE)))
    stand = {"page": number, "pageSize": size, "pageCount": -(-len(rows) // size), "itemCount": len(rows)}
    return rows[(number - 1) * size : number * size], stand


def modified_since(header: str) -> datetime | None:
    """Return the time of an If-Modified-Since header, ISO 8601 or as HTTP has it; None when it is missing."""
    if not header:
        return None
    try:
        moment = datetime.fromisoformat(header)
    except ValueError:
        moment = parsedate_to_datetime(header)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).replace(microsecond=0)
