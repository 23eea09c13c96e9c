"""QuickBooks Online: webhooks name records, the record is read; change data capture finds what they missed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from app.core.errors import DecodeError
from app.core.talk import Request, Talk
from schemas.events import Anchor, ChangeEvent, Hint, Version
from schemas.facts import Allocation, Credit, Customer, Facts, Party, Payment
from schemas.platforms.quickbooks_online import BATCH, MINOR_VERSION, PAGE, PLATFORM, SWEPT, translate, wire
from schemas.platforms.quickbooks_online.faults import read_fault
from schemas.platforms.quickbooks_online.query import quoted, select
from schemas.refs import ObjectRef
from streams.sources.base import Hook, Identity, Page, Source
from streams.sources.platforms.quickbooks_online.notices import MERGED, notices
from streams.sources.platforms.quickbooks_online.replies import (
    convert,
    is_deleted,
    is_fresh,
    moment,
    records,
    success,
    was_applied,
)

Origin = Literal["read", "sweep"]
_GONE = "610"
_MISSING = 404
_OVERLAP = timedelta(minutes=2)
_LOOK_BACK = timedelta(days=29)
_CANONICAL = MappingProxyType(
    {"invoice": "Invoice", "payment": "Payment", "credit": "CreditMemo", "customer": "Customer", "order": "Estimate"}
)


class QuickBooksSource(Source):
    """Both webhook forms are thin; a deleted record shows only in CDC or as error 610."""

    platform = PLATFORM
    read_batch = MappingProxyType(dict.fromkeys((*SWEPT, "Estimate"), BATCH))

    # ------------------------------------------------------------------------------------------- webhooks

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Compare with HMAC-SHA256 of the raw body under any verifier token, in base64; there is no time in it."""
        del now
        given = hook.headers.get("intuit-signature", "").encode()
        wanted = [base64.b64encode(hmac.new(token.encode(), hook.body, hashlib.sha256).digest()) for token in secrets]
        return any([hmac.compare_digest(given, want) for want in wanted])  # noqa: C419 - constant time

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the realms that a delivery speaks of."""
        return frozenset(realm for realm, *_ in notices(hook.body))

    def hints(self, hook: Hook) -> list[Hint]:
        """Return what changed in this realm; a merge speaks of the customer that stays and of the one that went."""
        return [
            Hint(
                tenant=self.connection.tenant,
                object=self._ref(notice.entity, notice.id),
                reason=notice.reason,
                hinted_at=notice.at,
            )
            for notice in notices(hook.body)
            if notice.realm == self.connection.account
        ]

    def _ref(self, entity: str, id_: str) -> ObjectRef:
        return ObjectRef(self.connection.name, self.connection.account, entity, id_)

    # -------------------------------------------------------------------------------------------- records

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events in a record, a reply, a query page, a CDC or a batch reply."""
        rows = list(records(record, _CANONICAL.get(type_, "")))
        payments = [convert("Payment", row) for entity, row in rows if entity == "Payment" and not is_deleted(row)]
        applied = translate.set_off([payment for payment in payments if isinstance(payment, wire.Payment)])
        return [
            event
            for entity, row in rows
            if (event := self._event(entity, row, "read", applied.get(str(row.get("Id")), ()))) is not None
        ]

    def _event(
        self, entity: str, row: dict[str, Any], origin: Origin, applied: Sequence[Allocation] = ()
    ) -> ChangeEvent | None:
        meta = row.get("MetaData")
        changed = moment(meta.get("LastUpdatedTime")) if isinstance(meta, dict) else None
        ref = self._ref(entity, str(row.get("Id") or ""))
        tenant = self.connection.tenant
        if is_deleted(row):
            return ChangeEvent(
                tenant=tenant, object=ref, facts=None, presence="deleted", changed_at=changed, origin=origin
            )
        record = convert(entity, row)
        try:
            facts = translate.to_facts(entity, record, self._home(), applied)
            native = int(record.sync_token)
        except (ValueError, ArithmeticError) as error:
            raise DecodeError(f"QuickBooks: a {entity} does not have the documented shape.") from error
        if facts is None:
            return None
        return ChangeEvent(
            tenant=tenant,
            object=ref,
            facts=facts,
            version=Version(native=native),
            changed_at=changed,
            mirror_of=translate.mark(record),
            anchors=self._anchors(record, facts),
            origin=origin,
        )

    def _home(self) -> str:
        return self.connection.options.get("home_currency", "USD")

    def _anchors(self, record: wire.Record, facts: Facts) -> tuple[Anchor, ...]:
        """Hang a payment on its invoices, a credit on what it was applied to, a stranger on what people typed."""
        if isinstance(record, wire.Customer):
            return ()
        shares = self._shares(facts.allocations) if isinstance(facts, Payment | Credit) else ()
        if isinstance(record, wire.Payment) or shares or translate.mark(record) is not None:
            return shares
        typed = translate.reference(record)
        number = (Anchor("number", ObjectRef("", "", "number", typed)),) if typed else ()
        linked = [link for link in record.linked_txn if link.txn_type in {"Estimate", "Payment"}]
        return (*number, *(Anchor("object", self._ref(link.txn_type, link.txn_id)) for link in linked))

    def _shares(self, parts: Sequence[Allocation]) -> tuple[Anchor, ...]:
        return tuple(Anchor("object", self._ref(part.type, part.id), share=f"{part.amount:f}") for part in parts)

    # ------------------------------------------------------------------------------------------- reading

    def _get(self, path: str, **params: str) -> Request:
        params["minorversion"] = MINOR_VERSION
        return Request(method="GET", path=f"/v3/company/{self.connection.account}/{path}", params=params)

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one record; for a credit also where it went, for a payment also the credits that it set off."""
        entity, id_ = hint.object.type, hint.object.id
        if entity not in wire.KINDS:
            return []
        reply = yield self._get(f"{entity.lower()}/{id_}")
        if reply.status == _MISSING or read_fault(reply.body).code == _GONE:
            merged = _merged(hint)
            return [
                ChangeEvent(tenant=hint.tenant, object=hint.object, facts=merged, presence="deleted", origin="read")
            ]
        return (yield from self._completed(entity, dict(success(reply)[entity])))

    def _completed(self, entity: str, row: dict[str, Any]) -> Talk[list[ChangeEvent]]:
        applied: Sequence[Allocation] = ()
        events: list[ChangeEvent] = []
        record = convert(entity, row)
        if isinstance(record, wire.Form) and was_applied(entity, record):
            applied = yield from self._applied_to(record)
        if isinstance(record, wire.Payment):
            for credit in translate.set_off([record]):
                hint = Hint(tenant=self.connection.tenant, object=self._ref("CreditMemo", credit))
                events += yield from self.read(hint)
        event = self._event(entity, row, "read", applied)
        return [event, *events] if event is not None else events

    def _applied_to(self, credit: wire.Form) -> Talk[tuple[Allocation, ...]]:
        """Ask the payments for the invoices that *credit* went to: its own record does not say."""
        ids = [link.txn_id for link in credit.linked_txn if link.txn_type == "Payment"]
        clause = f"Id in ({quoted(ids)})" if ids else f"CustomerRef = '{credit.customer_ref.value}'"
        rows = yield from self._all("Payment", clause)
        payments = [payment for row in rows if isinstance(payment := convert("Payment", row), wire.Payment)]
        return translate.set_off(payments).get(credit.id, ())

    def _all(self, entity: str, clause: str) -> Talk[list[dict[str, Any]]]:
        found: list[dict[str, Any]] = []
        while True:
            reply = yield self._get("query", query=select(entity, clause, len(found) + 1))
            rows = success(reply)["QueryResponse"].get(entity, [])
            found += rows
            if len(rows) < PAGE:
                return found

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Query many at once; what the list shows older than its hint, or not at all, is read by id."""
        entity = hints[0].object.type if hints else ""
        found: dict[str, dict[str, Any]] = {}
        if len(hints) > 1 and entity in wire.KINDS and {hint.object.type for hint in hints} == {entity}:
            rows = yield from self._all(entity, f"Id in ({quoted(hint.object.id for hint in hints)})")
            found = {str(row["Id"]): row for row in rows}
        events: list[ChangeEvent] = []
        for hint in hints:
            row = found.get(hint.object.id)
            if row is None or not is_fresh(row, hint.hinted_at):
                events += yield from self.read(hint)
            else:
                events += yield from self._completed(entity, row)
        return events

    # -------------------------------------------------------------------------------------------- sweeping

    def sweeps(self) -> tuple[str, ...]:
        """Return the one walk: change data capture over all entities."""
        return ("changes",)

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Return everything since *cursor* minus an overlap: CDC for 29 days back, queries for what CDC cuts off."""
        del name
        since = datetime.fromisoformat(cursor) - _OVERLAP if cursor else now - _LOOK_BACK
        start = max(since, now - _LOOK_BACK)
        rows, until = yield from self._captured(SWEPT, start, now)
        if since < start:
            for entity in SWEPT:
                rows += yield from self._window(entity, since, start)
        events: list[ChangeEvent] = []
        hints: list[Hint] = []
        for entity, row in rows:
            record = None if is_deleted(row) else convert(entity, row)
            if isinstance(record, wire.Form) and was_applied(entity, record):
                ref = self._ref(entity, record.id)
                hints.append(Hint(tenant=self.connection.tenant, object=ref, reason="sweep"))
            elif (event := self._event(entity, row, "sweep")) is not None:
                events.append(event)
        return Page(events=tuple(events), hints=tuple(hints), cursor=until.isoformat(), complete_up_to=until)

    def _captured(
        self, entities: Sequence[str], since: datetime, now: datetime
    ) -> Talk[tuple[list[tuple[str, dict[str, Any]]], datetime]]:
        """Ask CDC; a full reply is asked again entity by entity, a full entity is queried window by window."""
        params = {"entities": ",".join(entities), "changedSince": since.isoformat(timespec="seconds")}
        reply = yield msgspec.structs.replace(self._get("cdc", **params), headers={"Content-Type": "text/plain"})
        body = success(reply)
        rows = list(records(body, ""))
        until = moment(body.get("time")) or now
        if len(rows) < PAGE:
            return rows, until
        if len(entities) == 1:
            # The newest thousand stay: they hold the deleted ones, which no query shows.
            return rows + (yield from self._window(entities[0], since, until)), until
        found: list[tuple[str, dict[str, Any]]] = []
        for entity in entities:
            part, _ = yield from self._captured((entity,), since, now)
            found += part
        return found, until

    def _window(self, entity: str, since: datetime, until: datetime) -> Talk[list[tuple[str, dict[str, Any]]]]:
        """Query the records changed in [since, until); a full window is halved, so no page can slide."""
        clause = (
            f"MetaData.LastUpdatedTime >= '{since.isoformat(timespec='seconds')}' "
            f"and MetaData.LastUpdatedTime < '{until.isoformat(timespec='seconds')}'"
        )
        reply = yield self._get("query", query=select(entity, clause))
        rows = [(entity, row) for row in success(reply)["QueryResponse"].get(entity, [])]
        if len(rows) < PAGE or until - since <= timedelta(seconds=1):
            return rows
        middle = since + timedelta(seconds=max(1, int((until - since).total_seconds()) // 2))
        return (yield from self._window(entity, since, middle)) + (yield from self._window(entity, middle, until))

    def identify(self) -> Talk[Identity]:
        """Read the company and its preferences; a token of another company is refused for this realm."""
        account = self.connection.account
        reply = yield self._get(f"companyinfo/{account}")
        info = success(reply)["CompanyInfo"]
        reply = yield self._get("preferences")
        preferences = success(reply)["Preferences"]
        currency = preferences.get("CurrencyPrefs", {})
        home = currency.get("HomeCurrency", {}).get("value", "")
        missing = []
        if not currency.get("MultiCurrencyEnabled"):
            missing.append(
                f"Multi-currency is switched off: only documents in {home or 'the home currency'} can be written."
            )
        own = preferences.get("SalesFormsPrefs", {}).get("CustomTxnNumbers")
        if self.connection.options.get("numbers") == "order" and not own:
            missing.append("Custom transaction numbers are switched off, but the option numbers = 'order' needs them.")
        return Identity(
            account=account,
            name=info.get("CompanyName", ""),
            home_currency=home,
            lock_date=preferences.get("AccountingInfoPrefs", {}).get("BookCloseDate", ""),
            time_zone=info.get("DefaultTimeZone", ""),
            missing=tuple(missing),
        )


def _merged(hint: Hint) -> Customer | None:
    """Return what a merge left of a customer: where it went."""
    if not hint.reason.startswith(MERGED):
        return None
    into = hint.reason.removeprefix(MERGED)
    return Customer(party=Party(id=hint.object.id), status="merged", merged_into=into)
