"""How QuickBooks is asked: paths, request ids, pages of a query, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from app.core.errors import (
    AuthError,
    ConflictError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
)
from app.core.status import from_status, retry_after
from app.core.talk import Request, Response, Talk, segment
from schemas.platforms.quickbooks_online import BATCH, MINOR_VERSION, PAGE, PLATFORM, translate, wire
from schemas.platforms.quickbooks_online.faults import Fault, fault_of, read_fault
from schemas.platforms.quickbooks_online.query import select
from sinks.base import Sink, Written

T = TypeVar("T")
Row = dict[str, Any]
WORTHWHILE = 13
"""Fewer creates of what a form refers to go one by one: a minute has 40 batches and 500 other calls."""
_PAUSE = 60.0
_URL_LENGTH = 1500
_CLIENT, _SERVER, _TOO_MANY, _MISSING = 400, 500, 429, 404
_AUTH = frozenset(("120", "3100", "3200", "6190"))
_TAKEN = frozenset(("6140", "6240"))


class Asking(Sink):
    """Every write carries a request id: a repeat returns the first answer instead of acting again."""

    platform = PLATFORM

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Return the error by code first, then by status; a page that is no JSON says nothing about a write."""
        fault = read_fault(response.body)
        if fault.code:
            return error_of(fault, response, mutating=mutating)
        if response.status < _CLIENT and not response.body.lstrip().startswith((b"{", b"<IntuitResponse", b"<?xml")):
            message = f"QuickBooks answered {response.status} with something that is no record."
            return UncertainError(message) if mutating else RetryableError(message)
        if response.status == _TOO_MANY:
            return RateLimited("QuickBooks answered 429.", retry_after(response) or _PAUSE)
        return from_status("QuickBooks", response, mutating=mutating)

    # ----------------------------------------------------------------------------------------- requests

    def request(self, method: str, path: str, params: Mapping[str, str] | None = None) -> Request:
        """Return a call of this realm; only batches cost points."""
        account = self.connection.account
        return Request(
            method=method,
            path=f"/v3/company/{account}/{path}",
            params={**(params or {}), "minorversion": MINOR_VERSION},
            cost=int(path == "batch"),
        )

    def posting(
        self, path: str, body: Row, step: str, params: Mapping[str, str] | None = None, lock: str = ""
    ) -> Request:
        """Return a write: journalled under *step*, with a request id of the loop's."""
        request = self.request("POST", path, params)
        return msgspec.structs.replace(request, json=body, mutates=True, step=step, key_in="param:requestid", lock=lock)

    def ask(self, request: Request) -> Talk[Row]:
        """Return the body of the reply; raise what it means."""
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        body = reply.json()
        if not isinstance(body, dict):
            raise RejectedError("QuickBooks answered something that is no object.")
        return body

    def save(
        self, entity: str, body: Row, step: str, params: Mapping[str, str] | None = None, lock: str = ""
    ) -> Talk[Row]:
        """Create or change a record and return it."""
        reply = yield from self.ask(self.posting(entity.lower(), body, step, params, lock))
        row: Row = wire.without_nulls(reply[entity])
        return row

    def create_many(self, entity: str, made: Mapping[str, Row]) -> Talk[dict[str, Row]]:
        """Create records together, by name; what was refused is left out, and a few are not worth a batch."""
        names, found = list(made), dict[str, Row]()
        for start in range(0, len(names) if len(names) >= WORTHWHILE else 0, BATCH):
            some = names[start : start + BATCH]
            items = [{"bId": str(place), "operation": "create", entity: made[name]} for place, name in enumerate(some)]
            request = self.posting("batch", {"BatchItemRequest": items}, f"{entity.lower()}s:{some[0]}")
            for item in (yield from self.ask(request))["BatchItemResponse"]:
                if item_error(item) is None:
                    found[some[int(item["bId"])]] = item[entity]
        return found

    def found(self, entity: str, id_: str) -> Talk[Row | None]:
        """Read a record by id, which is always current; None when it is gone."""
        reply = yield self.request("GET", f"{entity.lower()}/{segment(id_)}")
        if reply.status == _MISSING or read_fault(reply.body).code == "610":
            return None
        if (error := self.classify(reply, mutating=False)) is not None:
            raise error
        row: Row = wire.without_nulls(reply.json()[entity])
        return row

    def existing(self, entity: str, id_: str) -> Talk[Row]:
        """Read a record that must be there."""
        row = yield from self.found(entity, id_)
        if row is None:
            raise RejectedError(f"QuickBooks: {entity} {id_} does not exist any more.")
        return row

    def query(self, entity: str, clause: str) -> Talk[list[Row]]:
        """Return every record that *clause* finds, page by page; for what is few."""
        rows: list[Row] = []
        while True:
            page = yield from self._page(entity, clause, len(rows) + 1)
            rows += wire.without_nulls(page)
            if len(page) < PAGE:
                return rows

    def first(self, entity: str, clause: str, suits: Callable[[Row], T | None]) -> Talk[T | None]:
        """Return what *suits* makes of the first record that it takes; no more than one page is held at a time."""
        start = 1
        while True:
            page = yield from self._page(entity, clause, start)
            for row in page:
                if (found := suits(row)) is not None:
                    return found
            if len(page) < PAGE:
                return None
            start += len(page)

    def _page(self, entity: str, clause: str, start: int) -> Talk[list[Row]]:
        body = yield from self.ask(self._selecting(select(entity, clause, start)))
        page: list[Row] = body["QueryResponse"].get(entity, [])
        return page

    def _selecting(self, text: str) -> Request:
        """Return a query: in the URL while that is short, else as the body of a POST that changes nothing."""
        if len(text) <= _URL_LENGTH:
            return self.request("GET", "query", {"query": text})
        headers = {"Content-Type": "application/text"}
        return msgspec.structs.replace(self.request("POST", "query"), body=text.encode(), headers=headers)

    def written(self, entity: str, row: Row, *, complete: bool = True) -> Written:
        """Return what QuickBooks made of a write, by the same rules as a read."""
        record = wire.record_of(entity, row)
        options = self.connection.options
        home, field = options.get("home_currency", "USD"), options.get("reference_field", "")
        facts = translate.to_facts(entity, record, home, field=field)
        return Written(
            type=entity,
            id=record.id,
            facts=facts,
            mark=translate.mark(record),
            complete=complete,
            native=int(record.sync_token),
        )


def error_of(fault: Fault, response: Response, *, mutating: bool) -> O2CError:
    """Return the error of a fault; what QuickBooks refused was not done, whatever the status."""
    message = f"QuickBooks answered {response.status}: {fault.words}."
    code = fault.code
    if code == "3001":
        return RateLimited(message, retry_after(response) or _PAUSE)
    if code in _AUTH:
        return AuthError(message)
    if code == "5010":
        return ConflictError(message)
    if code in _TAKEN:
        return DuplicateError(message)
    if code == "10000" or response.status >= _SERVER:
        return UncertainError(message) if mutating else RetryableError(message)
    return RejectedError(message)


def item_error(item: Row) -> O2CError | None:
    """Return the error of one item of a batch, None when it was done."""
    fault = fault_of(item)
    return error_of(fault, Response(status=_CLIENT), mutating=True) if fault.code or fault.kind else None
