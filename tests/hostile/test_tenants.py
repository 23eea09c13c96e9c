"""Two tenants with equal ids, equal numbers and the same platforms: nothing of one is read or written as the other's."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app.cli import main
from app.config.load import load
from app.console.local import Local
from app.console.refused import Refused
from app.console.store import Store
from app.core import topics
from schemas.cloudevents import encode
from schemas.commands import Command
from schemas.connection import Connection
from schemas.events import Anchor, ChangeEvent, Version
from schemas.facts import Order, Payment
from schemas.flow import Facts, Flow, Target
from schemas.order_state import PublicOrder
from schemas.platforms.external import PLATFORM as ERP
from schemas.platforms.quickbooks_online import PLATFORM as BOOKS
from schemas.refs import ObjectRef, mark_of, order_key
from streams.engine.fold import Out, Record
from streams.order.world import World
from streams.processors.links import Links
from streams.processors.orders import Orders
from tests.hostile.door import KEY, open_door
from tests.hostile.wire import post, send
from tests.made_up import event as looked_at
from tests.made_up import public, state

TENANTS = ("acme", "beta")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORLD = World(
    facts=Facts(
        connections={
            **{f"erp-{one}": Connection(name=f"erp-{one}", tenant=one, platform="external", account="1") for one in TENANTS},
            **{f"books-{one}": Connection(name=f"books-{one}", tenant=one, platform="quickbooks_online", account="1") for one in TENANTS},
        },
        flows=tuple(
            Flow(name=one, tenant=one, key_giver=f"erp-{one}", mode="live", targets=(Target(connection=f"books-{one}", document="invoice"),))
            for one in TENANTS
        ),
    ),
    platforms={"external": ERP, "quickbooks_online": BOOKS},
)  # fmt: skip


def ref(tenant: str, type_: str = "order", system: str = "erp") -> ObjectRef:
    return ObjectRef(f"{system}-{tenant}", "1", type_, "7")


KEYS = {tenant: order_key(tenant, ref(tenant)) for tenant in TENANTS}


class Topics:
    """The tables of orders and links in memory; what they write to each other's topics arrives there."""

    def __init__(self) -> None:
        self.processors = (Orders(WORLD), Links())
        self.states: dict[tuple[str, bytes], bytes | None] = {}
        self.outs: list[Out] = []
        self.dead: list[str] = []

    def take(self, event: ChangeEvent, key: str = "") -> None:
        """Fold *event* as it came from a topic, and all that follows from it."""
        own, headers, value = encode(event, type(event.facts).__name__.lower())
        rest = deque([Out(topics.CRM_CHANGES, key.encode() or own, value, headers)])
        while rest:
            out = rest.popleft()
            self.outs.append(out)
            for processor in self.processors:
                if out.topic not in processor.topics:
                    continue
                record = Record(out.topic, 0, len(self.outs), out.key or b"", out.value or b"", out.headers, 0)
                names = processor.keys([record])
                states = {name: self.states.get((processor.name, name)) for name in names}
                folded = processor.fold(0, [record], states, NOW, {})
                self.states |= {(processor.name, name): state for name, state in folded.states.items()}
                self.dead += [detail for *_, detail in folded.dead]
                rest += folded.outs

    def commands(self, tenant: str) -> list[Command]:
        found = [
            msgspec.json.decode(out.value or b"", type=Command) for out in self.outs if out.topic == topics.COMMANDS
        ]
        found = [msgspec.structs.replace(command, trace="") for command in found]  # it tells the place on the topic
        return [command for command in found if command.tenant == tenant or tenant in command.connection]

    def shown(self, tenant: str) -> PublicOrder | None:
        key = KEYS[tenant].encode()
        states = [out.value or b"" for out in self.outs if (out.topic, out.key) == (topics.ORDER_STATES, key)]
        return msgspec.json.decode(states[-1], type=PublicOrder) if states else None


def order(tenant: str, amount: str = "24.00", **more: Any) -> ChangeEvent:
    facts = Order(number="SO-7", currency="EUR", payable_amount=amount, headline="open", placed_at=NOW)  # type: ignore[arg-type]
    facts = msgspec.convert(msgspec.to_builtins(facts), Order)
    values = {"tenant": tenant, "object": ref(tenant), "version": Version(1), "changed_at": NOW}
    return ChangeEvent(facts=facts, **{**values, **more})


def payment(tenant: str, *anchors: Anchor, **more: Any) -> ChangeEvent:
    facts = msgspec.convert({"type": "payment", "amount": "24.00", "currency": "EUR"}, Payment)
    values = {"tenant": tenant, "object": ref(tenant, "Payment", "books"), "version": Version(1), "anchors": anchors}
    return ChangeEvent(facts=facts, **{**values, **more})


def test_equal_ids_and_numbers_are_two_orders_and_each_is_written_to_its_own_books() -> None:
    there = Topics()
    for tenant, amount in zip(TENANTS, ("24.00", "12.00"), strict=True):
        there.take(order(tenant, amount))
    assert KEYS["acme"] != KEYS["beta"]
    for tenant, amount in zip(TENANTS, ("24.00", "12.00"), strict=True):
        shown = there.shown(tenant)
        assert shown is not None
        assert (shown.tenant, f"{shown.payable_amount:.2f}") == (tenant, amount)
        commands = there.commands(tenant)
        assert {(one.tenant, one.connection) for one in commands} == {(tenant, f"books-{tenant}")}
    assert there.dead == []


def test_a_number_that_both_have_leads_to_the_order_of_who_asks() -> None:
    there = Topics()
    for tenant in TENANTS:
        there.take(order(tenant))
    there.take(payment("beta", Anchor("number", ObjectRef("", "", "number", "SO-7"))))
    mine, theirs = there.shown("beta"), there.shown("acme")
    assert mine is not None
    assert theirs is not None
    assert (f"{mine.paid_amount:.2f}", f"{theirs.paid_amount:.2f}") == ("24.00", "0.00")


ACMES = Anchor("order", ref("acme"))
CLAIMS = {
    "names the connection of another tenant": order("beta", "0.01", object=ref("acme")),
    "hangs on an order of another tenant": payment("beta", ACMES),
    "hangs on a document of another tenant": payment("beta", Anchor("object", ref("acme", "Invoice", "books"))),
    "names the order of another tenant": payment("beta", order=KEYS["acme"]),
    "carries a mark of another tenant": order(
        "beta", "0.01", object=ref("beta", "Invoice", "books"), mirror_of=mark_of(KEYS["acme"], "1" * 32)
    ),
    "gives an order the key of another tenant": order("beta", "0.01", order=KEYS["acme"]),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("first", [True, False])
def test_what_one_tenant_claims_changes_nothing_of_another(claim: ChangeEvent, first: bool) -> None:  # noqa: FBT001 - a table
    there, alone = Topics(), Topics()
    for one in (claim, order("acme")) if first else (order("acme"), claim):
        there.take(one, KEYS["acme"] if one is claim and one.order else "")
    alone.take(order("acme"))
    assert there.shown("acme") == alone.shown("acme") is not None
    assert there.commands("acme") == alone.commands("acme") != []


async def test_a_key_of_one_tenant_tells_of_that_one_alone() -> None:
    async with open_door(api_keys={KEY: "acme", "another-key": "", "whsec_c2VjcmV0": "beta"}) as door:
        for key, tenant, status in ((KEY, "acme", 202), (KEY, "beta", 403), ("another-key", "beta", 202)):
            data = json.loads(msgspec.json.encode(order(tenant)))
            head = {"specversion": "1.0", "type": "o2c.order.changed.v1", "source": "/x", "id": "1"}
            body = json.dumps([{**head, "data": data}] * 2).encode()
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents-batch+json"}
            assert (await send(door.port, post("/events", headers, body), 10)).status == status
            assert {event.tenant for event in door.kept.taken()[0]} == ({tenant} if status == 202 else set())


async def test_a_service_cannot_say_what_only_o2c_finds_out() -> None:
    sly = order("acme", origin="read", told_at=NOW, order="0" * 32, version=Version(5, True, 99, 99))  # noqa: FBT003
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "ce-specversion": "1.0"}
    headers["ce-type"] = "o2c.order.changed.v1"
    async with open_door() as door:
        body = msgspec.json.encode(sly)
        assert (await send(door.port, post("/events", headers, body), 10)).status == 202
        ((event,), _, _) = door.kept.taken()
        assert (event.origin, event.order, event.version) == ("foreign", "", Version(5))
        body = body.replace(b'"24.00"', b'"24.001"')
        assert (await send(door.port, post("/events", headers, body), 10)).status == 400, "its origin spares it no look"


def _filled(store: Store) -> None:
    """Give both tenants an order of one number with an invoice of one id, which was looked at."""
    for tenant in TENANTS:
        made = public(KEYS[tenant], tenant=tenant, number="SO-7")
        store.apply([looked_at(ref(tenant), Order(number="SO-7", currency="EUR"), tenant=tenant), state(made)])


@pytest.fixture
def store() -> Iterator[Store]:
    found = Store(None, {})
    _filled(found)
    yield found
    found.close()


@pytest.mark.parametrize("id_", ["SO-7", "7", *KEYS.values()])
def test_nobody_finds_another_tenants_order_by_any_id(store: Store, id_: str) -> None:
    for tenant in TENANTS:
        assert {one.tenant for one in store.tenant(tenant).find(id_)} <= {tenant}
        assert store.tenant(tenant).order(KEYS["acme" if tenant == "beta" else "beta"]) is None


def test_the_command_line_decides_for_nobody_where_two_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "o2c.toml"
    path.write_text('[kafka]\nbootstrap = "127.0.0.1:1"\n[[tenant]]\nname = "acme"\n[[tenant]]\nname = "beta"\n')

    def read(self: Local, *_: str) -> list[Any]:
        _filled(self._store)
        return [self._store.tenant(name) for name in self._store.tenants()]

    monkeypatch.setattr(Local, "_read", read)
    local = Local(load(path, {}))
    with pytest.raises(Refused, match="acme and beta each have one of that name"):
        local.decide("SO-7", "retry", "", "ada")
    local.close()
    assert main(["orders", "get", "SO-7", "--config", str(path)]) == 0
    said = capsys.readouterr().out
    assert [key for key in KEYS.values() if key not in said] == [], "both are shown, each with its key"
