"""How fast the console answers at 100,000 orders: `python benchmarks/console.py`.

Fills the read model with made-up orders as the topics carry them (state, looks, commands, requests, results), starts
the HTTP API over it and asks for orders by each kind of id, one request at a time, while changes go on coming in.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from pydantic import SecretStr

from app.config.model import ApiKeyConfig, Settings
from app.console.model import Model
from app.console.records import Entry
from app.console.server import Api
from app.console.telling import Teller
from app.core import topics
from app.core.metrics import new_metrics
from app.roles.status_page import serve
from schemas.cloudevents import encode
from schemas.commands import Command, Result
from schemas.events import ChangeEvent, Version
from schemas.facts import Invoice, Order, Payment, Shipment
from schemas.order_state import PublicOrder, Shown
from schemas.refs import ObjectRef, order_key
from sinks.delivery.journal import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemas.facts import Facts

KEY = "a key that is long enough"
AT_ONCE = 2_000
ENCODE = msgspec.json.Encoder().encode
KINDS = ("key", "number", "shop", "crm", "invoice", "invoice number", "payment", "tracking", "command")


def ids(number: int) -> dict[str, str]:
    """Return every id of a made-up order, by kind."""
    shop = ObjectRef("shop", "s", "order", f"{5_000_000 + number}")
    return {
        "key": order_key("acme", shop),
        "number": f"SO-{number}",
        "shop": shop.id,
        "crm": f"{77_000_000 + number}",
        "invoice": f"inv-{number:08x}",
        "invoice number": f"INV-{number}",
        "payment": f"pi_{number:012x}",
        "tracking": f"1Z{number:010d}",
        "command": f"{number:032x}",
    }


def records(number: int, seq: int = 1) -> Iterator[Entry]:
    """Yield what the topics carry of one order: four looks, one write with its request, the state."""
    name, now = ids(number), int(time.time() * 1000)
    amount = Decimal(number % 9_000) / 100
    refs = {
        "order": ObjectRef("shop", "s", "order", name["shop"]),
        "invoice": ObjectRef("books", "b", "invoice", name["invoice"]),
        "payment": ObjectRef("pay", "p", "payment", name["payment"]),
        "shipment": ObjectRef("shop", "s", "fulfillment", f"f{number}"),
    }
    facts: dict[str, Facts] = {
        "order": Order(number=name["number"], payable_amount=amount, currency="EUR"),
        "invoice": Invoice(number=name["invoice number"], payable_amount=amount, currency="EUR"),
        "payment": Payment(amount=amount, currency="EUR", reference=f"ch_{number}"),
        "shipment": Shipment(tracking_numbers=(name["tracking"],)),
    }
    for kind, ref in refs.items():
        version = Version(read=True, epoch=1, seq=seq)
        event = ChangeEvent(tenant="acme", object=ref, facts=facts[kind], version=version, origin="read")
        key, headers, value = encode(event, kind)
        yield Entry(topics.CRM_CHANGES, key, value, headers, now)
    same: dict[str, Any] = {
        "tenant": "acme", "connection": "books", "account": "b", "capability": "upsert_invoice",
        "order": name["key"], "write": "books|invoice",
    }  # fmt: skip
    command = Command(id=name["command"], kind="create", entity="e", canonical="c", facts=facts["invoice"], **same)
    row = Row(
        command=command.id, step="invoice", epoch=1, method="POST", path="/invoices", state="confirmed", status=200,
        at=now / 1000,
    )  # fmt: skip
    result = Result(command=command.id, outcome="confirmed", bound=refs["invoice"], **same)
    yield Entry(topics.COMMANDS, b"books", ENCODE(command), (), now)
    yield Entry(topics.JOURNAL, f"books|{command.id}/invoice".encode(), ENCODE(row), (), now)
    yield Entry(topics.RESULTS, name["key"].encode(), ENCODE(result), (), now)
    shown = [
        Shown(connection=ref.connection, account=ref.account, type=ref.type, id=ref.id, kind=kind, amount=amount)
        for kind, ref in refs.items()
    ]
    shown.append(Shown(connection="crm", account="c", type="deal", id=name["crm"], kind="order"))
    state = PublicOrder(
        key=name["key"], tenant="acme", flow="web", number=name["number"], headline="invoiced", currency="EUR",
        payable_amount=amount, tracking_numbers=(name["tracking"],), shown=tuple(shown),
    )  # fmt: skip
    yield Entry(topics.ORDER_STATES, name["key"].encode(), ENCODE(state), (), now)


def fill(model: Model, count: int) -> None:
    """Put *count* orders into *model*, as the role does at its start."""
    entries: list[Entry] = []
    for number in range(count):
        entries += records(number)
        if len(entries) >= AT_ONCE:
            model.apply(entries)
            entries = []
    model.apply(entries)


async def change(model: Model, count: int, rate: int) -> None:
    """Go on changing *rate* orders a second."""
    seq = 2
    while True:
        began = time.perf_counter()
        changed = [one for _ in range(rate // 5) for one in records(random.randrange(count), seq)]
        await asyncio.to_thread(model.apply, changed)
        seq += 1
        await asyncio.sleep(max(0.0, 0.2 - (time.perf_counter() - began)))


async def measure(model: Model, count: int, requests: int, rate: int) -> None:
    """Ask and print how long it took."""
    key = ApiKeyConfig(name="bench", tenant="acme", key=SecretStr(KEY))
    api = Api(model, Teller(Settings(data_dir=Path())), (key,), new_metrics())
    runner, port = await serve(api.app(), "127.0.0.1", 0)
    changing = asyncio.create_task(change(model, count, rate))
    took: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "whole order")}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=headers) as session:
        for turn in range(requests):
            kind, wanted = KINDS[turn % len(KINDS)], ids(random.randrange(count))
            began = time.perf_counter()
            async with session.get("/api/orders", params={"id": wanted[kind]}) as reply:
                found = await reply.json()
            took[kind].append(time.perf_counter() - began)
            if [order["key"] for order in found["orders"]] != [wanted["key"]]:
                raise SystemExit(f"{kind} {wanted[kind]} led to {found}")
            began = time.perf_counter()
            async with session.get(f"/api/orders/{wanted['key']}") as reply:
                await reply.read()
            took["whole order"].append(time.perf_counter() - began)
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)
    await runner.cleanup()
    for kind, times in took.items():
        print(f"{kind:<15} {line(times)}")
    print(f"{'all':<15} {line([one for times in took.values() for one in times])}")


def line(times: list[float]) -> str:
    """Return what *times* come to."""
    ordered = sorted(times)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    figures = (("p50", p50), ("p99", p99), ("max", ordered[-1]))
    return f"{len(times):>6} requests" + "".join(f"  {name} {seconds * 1000:6.1f} ms" for name, seconds in figures)


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=4_500)
    parser.add_argument("--rate", type=int, default=50, help="orders that change per second meanwhile")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "console.sqlite"
        model = Model(path)
        began = time.perf_counter()
        fill(model, args.orders)
        size = sum(one.stat().st_size for one in Path(folder).iterdir()) / 2**20
        seconds, cpu = time.perf_counter() - began, time.process_time()
        print(f"{datetime.now(UTC):%Y-%m-%d}: {args.orders} orders, {8 * args.orders} records, {size:.0f} MB")
        print(f"filled in {seconds:.0f} s, {cpu:.0f} s of CPU", flush=True)
        asyncio.run(measure(model, args.orders, args.requests, args.rate))
        model.close()


if __name__ == "__main__":
    main()
