"""How Shopify is asked: one path, reads and mutations with their costs, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from app.core.errors import (
    AuthError,
    ConflictError,
    DecodeError,
    DuplicateError,
    O2CError,
    RateLimited,
    RejectedError,
    RetryableError,
    UncertainError,
    UnsupportedError,
)
from app.core.status import from_status
from app.core.talk import Request, Response, Talk
from schemas.commands import Command
from schemas.platforms.shopify import NAMESPACE, PATH, PLATFORM, drafts, graph, pages, wire, writes
from schemas.platforms.shopify.facts import Claim
from schemas.platforms.shopify.replies import GONE, meaning
from schemas.refs import find_mark
from sinks.base import Sink, Written
from sinks.platforms.shopify import inputs

READ_COST = 260


class Asking(Sink):
    """Requests and replies."""

    platform = PLATFORM

    def write(self, command: Command) -> Talk[Written]:
        """Write; UnsupportedError for a draft, which is no order yet and which Shopify changes by other means."""
        if any(drafts.is_draft(id_) for id_ in (command.bound_id, command.links.get("order", ""))):
            raise UnsupportedError("Shopify: a draft order is changed by a person.")
        return super().write(command)

    def classify(self, response: Response, *, mutating: bool) -> O2CError | None:
        """Look at the status, then inside: Shopify answers most refusals with 200."""
        if response.status in GONE:
            return AuthError(f"Shopify answered {response.status}: {GONE[response.status]}.")
        if (error := from_status("Shopify", response, mutating=mutating)) is not None:
            return error
        try:
            found = meaning(response.json())
        except DecodeError:
            found = meaning(None)
        message = f"Shopify answered {response.status}: {found.code}."
        unsure: Callable[[str], O2CError] = UncertainError if mutating else RetryableError
        errors: dict[str, Callable[[str], O2CError]] = {
            "throttled": lambda text_: RateLimited(text_, found.wait),
            "denied": UncertainError if mutating and found.done else AuthError,
            "broken": unsure,
            "duplicate": DuplicateError,
            "conflict": ConflictError,
            "later": RetryableError,
            "refused": UncertainError if mutating and found.done else RejectedError,
        }
        return None if found.verdict == "ok" else errors[found.verdict](message)

    def ask(self, query: str, variables: Mapping[str, Any], cost: int = 10) -> Talk[dict[str, Any]]:
        """Read; raise what the reply means."""
        return (yield from self._send(Request(method="POST", path=PATH, json=self._body(query, variables), cost=cost)))

    def _body(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request that shows of an order what the source's reads show of it."""
        terms = self.connection.options.get("payment_terms") == "yes"
        return inputs.body(graph.with_terms(query) if terms else query, variables)

    def change(
        self, step: str, query: str, variables: Mapping[str, Any], lock: str = "", *, shared: bool = True
    ) -> Talk[dict[str, Any]]:
        """Write; raise what the reply means. Each step of a command has a name of its own."""
        request = Request(
            method="POST",
            path=PATH,
            json=self._body(query, variables),
            mutates=True,
            step=step,
            lock=lock,
            shared=shared,
            cost=10,
        )
        return (yield from self._send(request))

    def _send(self, request: Request) -> Talk[dict[str, Any]]:
        reply = yield request
        if (error := self.classify(reply, mutating=request.mutates)) is not None:
            raise error
        data: dict[str, Any] = reply.json()["data"]
        return data

    def order(self, id_: str) -> Talk[wire.Order]:
        """Read an order by id, which shows all that was written; RejectedError when there is none."""
        node = (yield from self.ask(graph.READ, {"id": id_}, cost=READ_COST))["order"]
        if node is None:
            raise RejectedError("Shopify has no such order any more.")
        return (yield from self.whole(node))

    def whole(self, node: Mapping[str, Any]) -> Talk[wire.Order]:
        """Return the order of a node that was read or written, with all that did not fit on its first page."""
        return graph.order((yield from pages.whole(node, self.ask)))

    def by_mark(self, mark: str) -> Talk[wire.Order | None]:
        """Search the order that carries *mark*."""
        data = yield from self.ask(graph.FIND, {"q": f"source_identifier:'{mark}'"}, cost=400)
        for node in data["orders"]["nodes"]:
            if find_mark(node["sourceIdentifier"]) == find_mark(mark):
                return (yield from self.whole(node))
        return None

    def claim(self, id_: str, kind: str, command: Command, claim: Claim) -> Talk[None]:
        """Announce in a metafield of its order a write that has no field for our mark."""
        yield from self.metafield(id_, kind, command, msgspec.json.encode(claim).decode(), "json")

    def metafield(self, id_: str, kind: str, command: Command, value: str, type_: str) -> Talk[None]:
        """Set the metafield of *command* on an order; setting it again is harmless."""
        one = {"ownerId": id_, "namespace": NAMESPACE, "key": inputs.key(command, kind), "type": type_, "value": value}
        yield from self.change(f"{kind} claim", writes.METAFIELDS, {"metafields": [one]})

    def parts(self, id_: str) -> Talk[list[dict[str, Any]]]:
        """Return the parts in which an order is to be shipped."""
        order = (yield from self.ask(writes.FULFILLMENT_ORDERS, {"id": id_}, cost=120))["order"]
        return (yield from pages.parts(order, self.ask)) if order else []
