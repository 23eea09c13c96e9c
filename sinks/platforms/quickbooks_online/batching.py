"""Many creates in one request: at most 30, each for itself; a later item cannot see an earlier one."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import TypeVar

import msgspec

from app.core.errors import ConflictError, O2CError, RejectedError
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.facts import Invoice, Party, Payment
from schemas.platforms.quickbooks_online import BATCH
from schemas.platforms.quickbooks_online.query import quoted
from sinks.base import Written
from sinks.platforms.quickbooks_online import bodies
from sinks.platforms.quickbooks_online.asking import Row, item_error
from sinks.platforms.quickbooks_online.probing import ENTITIES, Probing, facts_of

_WORTHWHILE = 5
T = TypeVar("T")
Outcomes = dict[str, Written | O2CError]
Bodies = dict[str, Row]


class Batching(Probing):
    """Customers and items are found for the whole batch with one query each."""

    batch = MappingProxyType({"upsert_invoice": BATCH, "upsert_sales_receipt": BATCH, "record_payment": BATCH})

    def form(self, entity: str, command: Command, customer: str, items: dict[str, str]) -> Row:
        """Return the body of an Invoice or SalesReceipt."""
        body = bodies.form(self.connection, command, facts_of(command, Invoice), customer, items)
        account = self.connection.accounts.get("clearing") or self.connection.accounts.get("payments")
        if entity == "SalesReceipt" and account:
            body["DepositToAccountRef"] = {"value": account}
        return body

    def write_many(self, commands: Sequence[Command]) -> Talk[list[Written | O2CError]]:
        """Make creates that need no look in one batch; a few, and everything else, go one by one.

        Batches are rarer than other calls: 40 a minute. They are kept for when they carry something.
        """
        plain = [command for command in commands if command.presence == "absent" and not command.bound_id]
        plain = plain if len(plain) >= _WORTHWHILE else []
        entity = ENTITIES.get(commands[0].capability, "Invoice") if commands else ""
        made: Bodies = {}
        results: Outcomes = {}
        if plain:
            build = self._payments if entity == "Payment" else self._forms
            try:
                made = yield from build(entity, plain, results)
            except RejectedError:
                results.clear()  # one of them cannot be prepared: each goes for itself, so only that one is refused
        if made:
            results.update((yield from self._sent(entity, made)))
        for command in commands:
            stale = entity == "Payment" and isinstance(results.get(command.id), RejectedError)
            if command.id not in results or stale:  # a list may show an old balance: what was refused is tried by id
                results[command.id] = yield from _caught(_named(self.write(command), command.id))
        return [results[command.id] for command in commands]

    def _forms(self, entity: str, commands: Sequence[Command], refused: Outcomes) -> Talk[Bodies]:
        wanted = [facts_of(command, Invoice) for command in commands]
        customers = yield from self.customers([(one.customer or Party(), one.currency) for one in wanted])
        items = yield from self.items([line for one in wanted for line in one.lines])
        made: Bodies = {}
        for command, customer in zip(commands, customers, strict=True):
            try:
                made[command.id] = self.form(entity, command, str(customer["Id"]), items)
            except RejectedError as error:
                refused[command.id] = error
        return made

    def _payments(self, entity: str, commands: Sequence[Command], refused: Outcomes) -> Talk[Bodies]:
        """Return the bodies of payments without invoice, and of those that their invoice still needs in full.

        The rest goes one by one: a list may show what was due before the total rose, and what it does not need would
        stay unapplied for good. What has no invoice stays on the buyer's account.
        """
        del entity, refused
        on_account = [command for command in commands if not command.links.get("invoice")]
        payers = [(facts_of(one, Payment).customer or Party(), facts_of(one, Payment).currency) for one in on_account]
        customers = (yield from self.customers(payers)) if payers else []
        ids = sorted({command.links["invoice"] for command in commands if command.links.get("invoice")})
        rows = (yield from self.query("Invoice", f"Id in ({quoted(ids)})")) if ids else []
        invoices = {str(row["Id"]): dict(row) for row in rows}
        made: Bodies = {
            command.id: bodies.payment_form(
                self.connection, command, facts_of(command, Payment), None, str(customer["Id"])
            )
            for command, customer in zip(on_account, customers, strict=True)
        }
        for command in commands:
            invoice = invoices.get(command.links.get("invoice", ""))
            payment = facts_of(command, Payment)
            if invoice is not None and payment.amount <= (due := Decimal(invoice["Balance"])):
                customer = str(invoice["CustomerRef"]["value"])
                made[command.id] = bodies.payment_form(self.connection, command, payment, invoice, customer)
                invoice["Balance"] = due - payment.amount
        return made

    def _sent(self, entity: str, made: Bodies) -> Talk[Outcomes]:
        items = [{"bId": id_, "operation": "create", entity: body} for id_, body in made.items()]
        body = yield from self.ask(self.posting("batch", {"BatchItemRequest": items}, "batch"))
        lost = ConflictError("QuickBooks answered the batch without this item.")
        found: Outcomes = dict.fromkeys(made, lost)
        for item in body["BatchItemResponse"]:
            found[str(item["bId"])] = item_error(item) or self.written(entity, item[entity])
        return found


def _named(talk: Talk[T], name: str) -> Talk[T]:
    """Make the steps of *talk* unique among those of other commands."""
    try:
        request = next(talk)
        while True:
            reply: Response = yield msgspec.structs.replace(
                request, step=f"{name}:{request.step}" if request.step else ""
            )
            request = talk.send(reply)
    except StopIteration as done:
        found: T = done.value
        return found


def _caught(talk: Talk[Written]) -> Generator[Request, Response, Written | O2CError]:
    try:
        return (yield from talk)
    except O2CError as error:
        return error
