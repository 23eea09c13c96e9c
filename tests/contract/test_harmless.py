"""By default nothing moves money or contacts the customer: every capability's requests against a list of calls."""

from __future__ import annotations

import contextlib
import json
import re
import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import platforms
from app.connectors.sending import conversed
from app.core.errors import O2CError, UnsupportedError
from app.render.order import default_target
from app.render.recording import Rendered
from app.render.studio import Studio, studio
from schemas.commands import Command
from schemas.facts import Credit, Customer, Facts, Invoice, Line, Order, Party, Payment, Shipment
from schemas.platform import Effect
from schemas.refs import ObjectRef, mark_of, order_key, write_id
from sinks.base import Written
from streams.order.plan.desk import Desk

pytestmark = pytest.mark.sandbox
FORBIDDEN: dict[str, list[dict[str, str]]] = tomllib.loads((Path(__file__).parent / "forbidden.toml").read_text())
LOADED = {slug: platforms.load(slug) for slug in platforms.slugs()}
EVERY = [(slug, name) for slug, loaded in LOADED.items() for name in loaded.platform.capabilities]
RECORDS = [(slug, name) for slug, name in EVERY if LOADED[slug].platform.capabilities[name] is Effect.RECORDS]
OTHERS = [pair for pair in EVERY if pair not in RECORDS]
DOCUMENT = ("upsert_order", "upsert_invoice")
BEFORE = {
    "set_status": ("upsert_order",),
    "void_invoice": ("upsert_invoice",),
    "request_payment": DOCUMENT,
    "record_payment": DOCUMENT,
    "record_shipment": DOCUMENT,
    "add_note": DOCUMENT,
    "reverse_payment": (*DOCUMENT, "record_payment"),
    "issue_credit": (*DOCUMENT, "record_payment"),
    "void_credit": (*DOCUMENT, "issue_credit"),
    "record_refund": (*DOCUMENT, "record_payment", "issue_credit"),
    "reverse_refund": (*DOCUMENT, "record_payment", "issue_credit", "record_refund"),
    "apply_credit": (*DOCUMENT, "record_payment", "issue_credit", "upsert_invoice"),
}
LINKS = {
    "upsert_order": "order", "upsert_invoice": "invoice", "record_payment": "payment", "issue_credit": "credit",
    "record_refund": "payment",
}  # fmt: skip
TAKEN_THERE = {("stripe", "record_refund"): {"payment": "pi_1"}}
"""Money that the platform took itself: of what we recorded there a refund is no more than a record."""
SETS = {"set_status", "void_invoice"}
STATUSES = ("cancelled", "on_hold", "open", "closed", "paid", "fulfilled")

DAY, NOON = date(2026, 11, 25), datetime(2026, 11, 25, 12, tzinfo=UTC)
ADA = Party(name="Ada Example", email="ada@example.com", phone="+4930123456")
MUG = Line(
    id="1", sku="MUG", name="Blue mug", quantity=Decimal(2), unit_price=Decimal(10), net_amount=Decimal(20),
    tax_amount=Decimal(4), tax_rate=Decimal(20),
)  # fmt: skip
TOTAL: dict[str, Any] = {
    "currency": "EUR",
    "customer": ADA,
    "lines": (MUG,),
    "payable_amount": Decimal(24),
    "tax_amount": Decimal(4),
}
CREDIT: dict[str, Any] = {
    "amount": Decimal(24),
    "tax_amount": Decimal(4),
    "currency": "EUR",
    "lines": (MUG,),
    "date": DAY,
}
FACTS: dict[str, Facts] = {
    "upsert_customer": Customer(party=ADA),
    "upsert_order": Order(number="SO-1", placed_at=NOON, note="Thank you", headline="open", **TOTAL),
    "upsert_invoice": Invoice(reference="SO-1", issue_date=DAY, due_date=DAY, note="Thank you", **TOTAL),
    "upsert_sales_receipt": Invoice(document="sales_receipt", reference="SO-1", issue_date=DAY, **TOTAL),
    "record_payment": Payment(amount=Decimal(24), currency="EUR", paid_at=NOON, date=DAY, reference="ch_1"),
    "issue_credit": Credit(reason="returned", **CREDIT),
    "record_refund": Credit(document="refund", reason="returned", reference="re_1", **CREDIT),
    "record_shipment": Shipment(carrier="DHL", tracking_numbers=("1Z999",), shipped_at=NOON),
}
FACTS |= dict.fromkeys(("void_invoice", "request_payment"), FACTS["upsert_invoice"])
FACTS |= {
    "apply_credit": FACTS["issue_credit"],
    "void_credit": FACTS["issue_credit"],
    "set_status": FACTS["upsert_order"],
    "add_note": FACTS["upsert_order"],
    "reverse_payment": FACTS["record_payment"],
    "reverse_refund": FACTS["record_refund"],
}


def _command(bench: Studio, capability: Any, links: dict[str, str], **more: Any) -> Command:
    connection, giver = bench.connection, ObjectRef("shop", "s", "order", "1")
    key = order_key("local", giver)
    id_ = write_id(connection.name, connection.account, capability, giver.key, len(bench.recorder.sent))
    bound = links.get("order" if capability == "set_status" else "invoice", "") if capability in SETS else ""
    return Command(
        id=id_, kind="set" if capability in SETS else "create", tenant="local", connection=connection.name,
        account=connection.account, capability=capability, order=key, entity=capability, write=capability,
        canonical=giver.key, mark=mark_of(key, id_), text="Gift wrapped", links=links,
        **{"facts": FACTS[capability], "bound_id": bound, **more},
    )  # fmt: skip


async def _write(bench: Studio, command: Command) -> Written:
    bench.recorder.capability = command.capability
    return await conversed(LOADED[bench.connection.platform].sink(bench.connection).write(command), bench.sending)


async def _prepared(bench: Studio, capability: str) -> dict[str, str]:
    """Write what *capability* hangs on and return the links to it."""
    links: dict[str, str] = {}
    for name in BEFORE.get(capability, ()):
        if name in LOADED[bench.connection.platform].platform.capabilities:
            written = await _write(bench, _command(bench, name, dict(links)))
            links[LINKS[name]] = written.id
    return links


def found(slug: str, request: Rendered) -> list[str]:
    """Return why *request* is forbidden, [] for a harmless one."""
    call = f"{request.method} {request.path}"
    body = request.body if isinstance(request.body, str) else json.dumps(request.body, default=str)
    if isinstance(request.body, dict) and "query" in request.body:
        body = f"{request.body['query']}\n{json.dumps(request.body.get('variables'), default=str)}"
    return [
        rule["why"]
        for rule in FORBIDDEN[slug]
        if re.search(rule["call"], call)
        and re.search(rule["body"], body)
        and not ("unless" in rule and re.search(rule["unless"], body))
    ]


def test_every_platform_that_is_written_to_has_its_list() -> None:
    assert set(FORBIDDEN) == {slug for slug, loaded in LOADED.items() if loaded.platform.capabilities}


@pytest.mark.parametrize(("slug", "capability"), RECORDS)
async def test_what_only_records_is_harmless(slug: str, capability: str) -> None:
    async with studio(slug) as bench:
        links = await _prepared(bench, capability)
        if capability == "set_status":
            await _every_status(bench, links)
        else:
            written = await _write(bench, _command(bench, capability, links))
            await _changed(bench, capability, links, written)
        sent = [request for request in bench.recorder.sent if request.mutates]
    assert any(request.capability == capability for request in sent)
    assert {f"{request.method} {request.path}: {why}" for request in sent for why in found(slug, request)} == set()


async def _every_status(bench: Studio, links: dict[str, str]) -> None:
    done = 0
    for word in STATUSES:
        try:
            await _write(bench, _command(bench, "set_status", links, status=word))
        except UnsupportedError:
            continue
        done += 1
    assert done


async def _changed(bench: Studio, capability: str, links: dict[str, str], written: Written) -> None:
    """Write once more what a change of the order would: other words on a document, a parcel that arrived."""
    changes: dict[str, tuple[Facts, tuple[str, ...]]] = {
        "upsert_order": (msgspec.structs.replace(FACTS["upsert_order"], note="New"), ("note",)),
        "upsert_invoice": (msgspec.structs.replace(FACTS["upsert_invoice"], note="New"), ("note",)),
        "record_shipment": (
            msgspec.structs.replace(
                FACTS["record_shipment"], status="delivered", tracking_numbers=("1Z1",), delivered_at=NOON
            ),
            ("status", "tracking"),
        ),
    }
    if capability in changes:
        facts, names = changes[capability]
        more: dict[str, Any] = {
            "kind": "set",
            "bound_id": written.id,
            "facts": facts,
            "changes": names,
            "mark": written.mark or "",
        }
        try:
            await _write(bench, msgspec.structs.replace(_command(bench, capability, links), **more))
        except UnsupportedError:
            return


@pytest.mark.parametrize(("slug", "capability"), OTHERS)
async def test_what_is_said_to_move_money_or_to_contact_is_off_by_default_and_on_the_list(
    slug: str, capability: str
) -> None:
    platform = LOADED[slug].platform
    async with studio(slug) as bench:
        target = default_target(platform, bench.connection.name)
        desk = Desk(state=None, derived=None, target=target, connection=bench.connection, platform=platform)  # type: ignore[arg-type]  # not asked
        assert not desk.can(capability)
        allowed = msgspec.structs.replace(target, allow=(capability,))
        assert msgspec.structs.replace(desk, target=allowed).can(capability)
        links = await _prepared(bench, capability) | TAKEN_THERE.get((slug, capability), {})
        with contextlib.suppress(O2CError):  # the sandbox may refuse it: what counts is what was sent
            await _write(bench, _command(bench, capability, links))
        sent = [request for request in bench.recorder.sent if request.capability == capability]
    assert any(found(slug, request) for request in sent)
