"""Xero: webhooks are thin (a change happened), so every hint is read; payments have no webhook of their own."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import msgspec

from app.core.errors import DecodeError
from app.core.status import from_status
from app.core.talk import Request, Response, Talk, segment
from schemas.errors import misfit
from schemas.events import Anchor, ChangeEvent, Hint, allocated
from schemas.facts import Allocation, Facts
from schemas.platforms.xero import PLATFORM, facts, wire
from schemas.platforms.xero.headers import headers
from schemas.platforms.xero.setup import ACCOUNTS, fitting_accounts, is_rounding, missing_accounts, missing_taxes
from schemas.platforms.xero.webhooks import WEBHOOKS
from schemas.platforms.xero.zones import ZONES
from schemas.refs import ObjectRef, find_mark
from streams.sources.base import Choice, Hook, Identity, Offer, Page, Reply, Setup, Source, only

_CATEGORIES = {"INVOICE": "invoice", "CREDITNOTE": "credit_note", "CONTACT": "contact"}
_PATHS = {
    "invoice": "/Invoices",
    "payment": "/Payments",
    "refund": "/Payments",
    "credit_note": "/CreditNotes",
    "overpayment": "/Overpayments",
    "prepayment": "/Prepayments",
    "contact": "/Contacts",
}
_SWEEPS: Mapping[str, tuple[str, Mapping[str, str]]] = MappingProxyType(
    {
        "invoices": ("/Invoices", {"where": 'Type=="ACCREC"', "unitdp": "4"}),
        "payments": ("/Payments", {}),
        "credit_notes": ("/CreditNotes", {"where": 'Type=="ACCRECCREDIT"', "unitdp": "4"}),
        "contacts": ("/Contacts", {"includeArchived": "true"}),
        "overpayments": ("/Overpayments", {"unitdp": "4"}),
        "prepayments": ("/Prepayments", {"unitdp": "4"}),
    }
)
_LISTS = {
    "InvoiceID": "Invoices",
    "PaymentID": "Payments",
    "CreditNoteID": "CreditNotes",
    "OverpaymentID": "Overpayments",
    "PrepaymentID": "Prepayments",
    "ContactID": "Contacts",
}
_PAGE = 500
_LIST = 100
_OVERLAP = timedelta(minutes=5)
_MISSING = 404


class _Walk(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a sweep stands: the newest modification time seen, the page behind it, Xero's time at the start."""

    since: str = ""
    page: int = 0
    """0: between two passes."""
    started: str = ""
    seen: int = 0
    """Rows of exactly that second on the pages before this one."""
    before: int = -1
    """How many an earlier round over the same pages showed: a row that changed meanwhile lets another slide back."""


class XeroSource(Source):
    """An invoice brings its payments along; removed payments show in the sweep of payments."""

    platform = PLATFORM
    webhooks = WEBHOOKS
    read_batch = MappingProxyType({"invoice": 50, "contact": 50})

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Compare HMAC-SHA256 of the raw bytes; the key is text that only looks like base64, and there is no time."""
        del now
        given = hook.headers.get("x-xero-signature", "").encode()
        wanted = [base64.b64encode(hmac.digest(secret.encode(), hook.body, "sha256")) for secret in secrets]
        return any([hmac.compare_digest(given, want) for want in wanted])  # noqa: C419 - in constant time

    def handshake(self, hook: Hook, secrets: Sequence[str]) -> Reply | None:
        """Answer 200 without a body to an intent to receive that is rightly signed; a wrong one is refused as ever."""
        if not self.verify(hook, secrets, datetime.min.replace(tzinfo=UTC)):
            return None
        try:
            return None if _hooks(hook.body).events else Reply(status=200)
        except DecodeError:
            return None

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the organisations that a delivery to the app's one address speaks of."""
        return frozenset(event.tenant_id for event in _hooks(hook.body).events if event.tenant_id)

    @classmethod
    def numbers(cls, hook: Hook) -> tuple[int, int] | None:
        """Return the delivery's place in the app's count of events; a delivery without events has none."""
        said = _hooks(hook.body)
        return (said.first_event_sequence, said.last_event_sequence) if said.last_event_sequence > 0 else None

    def hints(self, hook: Hook) -> list[Hint]:
        """Return the sales documents and contacts of this organisation that changed; a bill's credit is left out."""
        return [
            Hint(
                tenant=self.connection.tenant,
                object=self._ref(_CATEGORIES[event.event_category], event.resource_id),
                reason=f"{event.event_category}.{event.event_type}",
                hinted_at=_time(event.event_date_utc),
            )
            for event in _hooks(hook.body).events
            if event.tenant_id == self.connection.account
            and event.event_category in _CATEGORIES
            and event.data.type != "ACCPAYCREDIT"
        ]

    def _ref(self, type_: str, id_: str) -> ObjectRef:
        return ObjectRef(self.connection.name, self.connection.account, type_, id_)

    # ---------------------------------------------------------------------------------------------- parsing

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events of a reply, a list or one record; bills, refused elements and unknown records give none."""
        del type_
        try:
            return self._events(wire.reply(_envelope(record)))
        except (ValueError, ArithmeticError) as error:
            raise DecodeError("Xero: the record does not have the documented shape.") from error

    def _events(self, reply: wire.Reply) -> list[ChangeEvent]:
        found = [
            *[self._invoice(record) for record in reply.invoices if not record.refused],
            *[event for record in reply.payments if not record.refused for event in self._payment(record)],
            *[self._credit_note(record) for record in reply.credit_notes if not record.refused],
            *[self._advance("overpayment", record.overpayment_id, record) for record in reply.overpayments],
            *[self._advance("prepayment", record.prepayment_id, record) for record in reply.prepayments],
            *[self._contact(record) for record in reply.contacts if not record.refused],
        ]
        return [event for event in found if event is not None]

    def _invoice(self, record: wire.Invoice) -> ChangeEvent | None:
        shown = facts.invoice_facts(record)
        mark = find_mark(record.reference)
        typed = shown.reference if shown is not None and mark is None else ""
        return self._event("invoice", record.invoice_id, shown, record.updated_date_utc, mark, _number(typed))

    def _payment(self, record: wire.Payment) -> list[ChangeEvent | None]:
        """Return the payment, and the invoice that a reply to a write shows whole inside it."""
        shown = facts.payment_facts(record)
        if shown is None:
            return []
        type_, mark = facts.payment_type_of(shown), find_mark(record.reference)
        anchors = self._parents(shown.allocations)
        event = self._event(type_, record.payment_id, shown, record.updated_date_utc, mark, anchors)
        whole = record.invoice if record.invoice is not None and record.invoice.line_items else None
        return [event, self._invoice(whole)] if whole else [event]

    def _credit_note(self, record: wire.CreditNote) -> ChangeEvent | None:
        shown = facts.credit_facts(record)
        if shown is None:
            return None
        mark = find_mark(record.reference)
        anchors = self._parents(shown.allocations) or (_number(shown.reference) if mark is None else ())
        return self._event("credit_note", record.credit_note_id, shown, record.updated_date_utc, mark, anchors)

    def _advance(self, type_: str, id_: str, record: wire.Advance) -> ChangeEvent | None:
        shown = facts.advance_facts(record)
        anchors = self._parents(shown.allocations) if shown is not None else ()
        return self._event(type_, id_, shown, record.updated_date_utc, facts.advance_mark(record), anchors)

    def _contact(self, record: wire.Contact) -> ChangeEvent | None:
        return self._event("contact", record.contact_id, facts.contact_facts(record), record.updated_date_utc)

    def _parents(self, allocations: Iterable[Allocation]) -> tuple[Anchor, ...]:
        return allocated(self.connection.name, self.connection.account, allocations)

    def _event(
        self,
        type_: str,
        id_: str,
        shown: Facts | None,
        changed: str,
        mark: str | None = None,
        anchors: tuple[Anchor, ...] = (),
    ) -> ChangeEvent | None:
        if shown is None:
            return None
        if not id_:
            raise ValueError(f"a {type_} without an id")
        return ChangeEvent(
            tenant=self.connection.tenant,
            object=self._ref(type_, id_),
            facts=shown,
            changed_at=facts.instant(changed),
            mirror_of=mark,
            anchors=anchors,
            origin="read",
        )

    def _with_payments(self, reply: wire.Reply) -> list[ChangeEvent]:
        """Return what a read shows: an invoice's payments have no webhook, so they come with the invoice."""
        inside = [payment for invoice in reply.invoices for payment in facts.nested_payments(invoice)]
        try:
            return self._events(msgspec.structs.replace(reply, payments=(*reply.payments, *inside)))
        except (ValueError, ArithmeticError) as error:
            raise DecodeError("Xero: a record does not have the documented shape.") from error

    # ---------------------------------------------------------------------------------------------- reading

    def _get(self, path: str, params: Mapping[str, str], since: str = "") -> Request:
        only = {"If-Modified-Since": f"{since}Z"} if since else {}
        return Request(method="GET", path=path, params=params, headers={**headers(self.connection), **only})

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one object; 404 says that it is gone (voided and deleted documents are still shown)."""
        if hint.object.type == "history":
            return (yield from self._read_history(hint))
        params = {"unitdp": "4"} if hint.object.type in {"invoice", "credit_note"} else {}
        reply = yield self._get(f"{_PATHS[hint.object.type]}/{segment(hint.object.id)}", params)
        return [_gone(hint)] if reply.status == _MISSING else self._with_payments(_decoded(reply))

    def _read_history(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read the parcel that we wrote into an invoice's history; a plain note is no event."""
        invoice, mark = facts.read_history_id(hint.object.id)
        reply = yield self._get(f"/Invoices/{segment(invoice)}/History", {})
        if reply.status == _MISSING:
            return [_gone(hint)]
        shown = facts.read_shipment(facts.note_of(_decoded(reply).history_records, mark))
        event = self._event("history", hint.object.id, shown, "", mark)
        parents = (Anchor("object", self._ref("invoice", invoice)),)
        return [msgspec.structs.replace(event, anchors=parents)] if event is not None else []

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Read invoices or contacts by one list of ids; what the list leaves out is asked for by itself."""
        type_ = hints[0].object.type
        if type_ not in self.read_batch or len(hints) == 1:
            return (yield from super().read_many(hints))
        ids = list(dict.fromkeys(hint.object.id for hint in hints))
        params = {"IDs": ",".join(ids), "page": "1", "pageSize": str(_LIST)}
        extra = {"unitdp": "4"} if type_ == "invoice" else {"includeArchived": "true"}
        reply = _decoded((yield self._get(_PATHS[type_], {**params, **extra})))
        shown = {record.invoice_id for record in reply.invoices} | {record.contact_id for record in reply.contacts}
        events = self._with_payments(reply)
        for hint in {hint.object.id: hint for hint in hints if hint.object.id not in shown}.values():
            events += yield from self.read(hint)
        return events

    def sweeps(self) -> tuple[str, ...]:
        """Return the lists that know when their rows changed."""
        return tuple(_SWEEPS)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Walk by modification time, not by page number: a row that changes meanwhile would shift the pages.

        Each step asks from the newest time it has seen; only rows of one and the same second are paged, again and again
        until two rounds agree. A pass begins five minutes before the last one began, by Xero's clock.
        """
        walk = msgspec.json.decode(cursor, type=_Walk) if cursor else _Walk(since=self._since())
        if walk.page == 0:
            walk = _Walk(since=_earlier(walk.since), page=1)
        path, filters = _SWEEPS[name]
        paging = {"page": str(walk.page), "pageSize": str(_PAGE), "order": "UpdatedDateUTC ASC"}
        reply = _decoded((yield self._get(path, {**filters, **paging}, walk.since)))
        started = walk.started or _second(facts.instant(reply.date_time_utc) or now)
        events = tuple(self._with_payments(reply))
        if (step := _next(walk, reply, started)) is not None:
            return Page(events=events, cursor=msgspec.json.encode(step).decode(), more=True)
        done = msgspec.json.encode(_Walk(since=started)).decode()
        return Page(events=events, cursor=done, complete_up_to=datetime.fromisoformat(started).replace(tzinfo=UTC))

    def _since(self) -> str:
        start = self.connection.options.get("since", "")
        return _second(facts.instant(start) or datetime.now(UTC)) if start else ""

    def identify(self) -> Talk[Identity]:
        """Ask for the organisation, its lock dates and currencies."""
        found = _decoded((yield self._get("/Organisation", {}))).organisations
        if not found:
            raise DecodeError("Xero: the organisation is missing in the reply.")
        organisation = found[0]
        currencies = _decoded((yield self._get("/Currencies", {}))).currencies
        locks = [facts.day(text) for text in (organisation.period_lock_date, organisation.end_of_year_lock_date)]
        return Identity(
            account=organisation.organisation_id,
            name=organisation.name,
            currencies=tuple(currency.code for currency in currencies),
            home_currency=organisation.base_currency,
            lock_date=max((lock.isoformat() for lock in locks if lock), default=""),
            time_zone=ZONES.get(organisation.timezone.upper(), ""),
        )

    def setup(self) -> Talk[Setup]:
        """Look whether the accounts and tax types in use exist, and which there are."""
        accounts = _decoded((yield self._get("/Accounts", {}))).accounts
        rates = _decoded((yield self._get("/TaxRates", {}))).tax_rates
        missing = (*missing_accounts(self.connection, accounts), *missing_taxes(self.connection, rates))
        return Setup(missing=dict(missing), offers={**_accounts(accounts), "taxes": _taxes(rates)})


def _gone(hint: Hint) -> ChangeEvent:
    return ChangeEvent(tenant=hint.tenant, object=hint.object, facts=None, presence="deleted", origin="read")


def _accounts(accounts: Iterable[wire.Account]) -> Mapping[str, Offer]:
    """Return the accounts by use; sure are the only one, Xero's own for roundings, and what is booked on anyway."""
    offers = {}
    for use, found in fitting_accounts(accounts).items():
        choices = tuple(Choice(account.code, account.name) for account in found)
        usual = [one for one in choices if one.value == ACCOUNTS.get(use)]
        meant = [one for one, account in zip(choices, found, strict=True) if use == "rounding" and is_rounding(account)]
        offers[f"accounts.{use}"] = Offer(choices, only(usual or meant or choices))
    return offers


def _taxes(rates: Iterable[wire.TaxRate]) -> Offer:
    found = [rate for rate in rates if rate.status == "ACTIVE" and rate.can_apply_to_revenue]
    return Offer(tuple(Choice(rate.tax_type, rate.name, rate.effective_rate) for rate in found))


def _next(walk: _Walk, reply: wire.Reply, started: str) -> _Walk | None:
    """Return the step after a full page; None after the last one."""
    rows = [
        *reply.invoices,
        *reply.payments,
        *reply.credit_notes,
        *reply.overpayments,
        *reply.prepayments,
        *reply.contacts,
    ]
    pages = reply.pagination.page_count if reply.pagination else 0
    last = len(rows) < _PAGE and walk.page >= pages
    times = [_second(time) for row in rows if (time := facts.instant(row.updated_date_utc))]
    newest = max(times, default="")
    seen = walk.seen + times.count(walk.since)
    if not last and newest <= walk.since:
        return msgspec.structs.replace(walk, page=walk.page + 1, started=started, seen=seen)
    if walk.page > 1 and seen != walk.before:
        return _Walk(since=walk.since, page=1, started=started, before=seen)
    return None if last else _Walk(since=newest, page=1, started=started)


def _number(typed: str) -> tuple[Anchor, ...]:
    return (Anchor("number", ObjectRef("", "", "number", typed)),) if typed else ()


def _second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _earlier(since: str) -> str:
    return _second(datetime.fromisoformat(since).replace(tzinfo=UTC) - _OVERLAP) if since else ""


def _time(text: str) -> datetime | None:
    try:
        return facts.instant(text)
    except ValueError as error:
        raise DecodeError("Xero: the event carries no readable time.") from error


def _hooks(body: bytes) -> wire.Hooks:
    try:
        return msgspec.json.decode(body, type=wire.Hooks)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DecodeError("Xero: the body is no webhook delivery.") from error


def _envelope(record: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the record or list as the envelope that a reply has."""
    rows = record if isinstance(record, list) else [record]
    found: dict[str, list[Any]] = {}
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError("no record")  # noqa: TRY004 - becomes a DecodeError like every other bad shape
        if any(isinstance(row.get(name), list) for name in _LISTS.values() if not any(key in row for key in _LISTS)):
            return row
        name = next((name for key, name in _LISTS.items() if isinstance(row.get(key), str)), None)
        if name is not None:
            found.setdefault(name, []).append(row)
    return found


def _decoded(reply: Response) -> wire.Reply:
    if (error := from_status("Xero", reply, mutating=False)) is not None:
        raise error
    try:
        return wire.read(reply.body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DecodeError(f"Xero: the reply does not have the documented shape: {misfit(error)}.") from error


SOURCE = XeroSource
