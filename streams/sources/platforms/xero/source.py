"""Xero: webhooks are thin (a change happened), so every hint is read; payments have no webhook of their own."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import msgspec

from app.core.errors import DecodeError
from app.core.talk import Talk, segment
from schemas.events import Anchor, ChangeEvent, Hint
from schemas.platforms.xero import facts, wire
from schemas.platforms.xero.setup import ACCOUNTS, fitting_accounts, is_rounding, missing_accounts, missing_taxes
from schemas.platforms.xero.webhooks import WEBHOOKS
from schemas.platforms.xero.zones import ZONES
from streams.sources.base import Choice, Hook, Identity, Offer, Reply, Setup, only
from streams.sources.platforms.xero.parsing import decoded
from streams.sources.platforms.xero.walking import Walking

_CATEGORIES = {"INVOICE": "invoice", "CREDITNOTE": "credit_note", "CONTACT": "contact"}
_PATHS = {
    "invoice": "/Invoices",
    "payment": "/Payments",
    "refund": "/Payments",
    "credit_note": "/CreditNotes",
    "overpayment": "/Overpayments",
    "prepayment": "/Prepayments",
    "contact": "/Contacts",
    "quote": "/Quotes",
}
_LIST = 100
_MISSING = 404


class XeroSource(Walking):
    """An invoice brings its payments along; removed payments show in the sweep of payments."""

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
                object=self.ref(_CATEGORIES[event.event_category], event.resource_id),
                reason=f"{event.event_category}.{event.event_type}",
                hinted_at=_time(event.event_date_utc),
            )
            for event in _hooks(hook.body).events
            if event.tenant_id == self.connection.account
            and event.event_category in _CATEGORIES
            and event.data.type != "ACCPAYCREDIT"
        ]

    # ---------------------------------------------------------------------------------------------- reading

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one object; 404 says that it is gone (voided and deleted documents are still shown)."""
        if hint.object.type == "history":
            return (yield from self._read_history(hint))
        params = {"unitdp": "4"} if hint.object.type in {"invoice", "credit_note"} else {}
        reply = yield self.asking(f"{_PATHS[hint.object.type]}/{segment(hint.object.id)}", params)
        return [_gone(hint)] if reply.status == _MISSING else self.with_payments(decoded(reply))

    def _read_history(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read the parcel that we wrote into an invoice's history; a plain note is no event."""
        invoice, mark = facts.read_history_id(hint.object.id)
        reply = yield self.asking(f"/Invoices/{segment(invoice)}/History", {})
        if reply.status == _MISSING:
            return [_gone(hint)]
        shown = facts.read_shipment(facts.note_of(decoded(reply).history_records, mark))
        event = self._event("history", hint.object.id, shown, "", mark)
        parents = (Anchor("object", self.ref("invoice", invoice)),)
        return [msgspec.structs.replace(event, anchors=parents)] if event is not None else []

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Read invoices or contacts by one list of ids; what the list leaves out is asked for by itself."""
        type_ = hints[0].object.type
        if type_ not in self.read_batch or len(hints) == 1:
            return (yield from super().read_many(hints))
        ids = list(dict.fromkeys(hint.object.id for hint in hints))
        params = {"IDs": ",".join(ids), "page": "1", "pageSize": str(_LIST)}
        extra = {"unitdp": "4"} if type_ == "invoice" else {"includeArchived": "true"}
        reply = decoded((yield self.asking(_PATHS[type_], {**params, **extra})))
        shown = {record.invoice_id for record in reply.invoices} | {record.contact_id for record in reply.contacts}
        events = self.with_payments(reply)
        for hint in {hint.object.id: hint for hint in hints if hint.object.id not in shown}.values():
            events += yield from self.read(hint)
        return events

    def identify(self) -> Talk[Identity]:
        """Ask for the organisation, its lock dates and currencies."""
        found = decoded((yield self.asking("/Organisation", {}))).organisations
        if not found:
            raise DecodeError("Xero: the organisation is missing in the reply.")
        organisation = found[0]
        currencies = decoded((yield self.asking("/Currencies", {}))).currencies
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
        accounts = decoded((yield self.asking("/Accounts", {}))).accounts
        rates = decoded((yield self.asking("/TaxRates", {}))).tax_rates
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
