"""Shopify's sink in conversation with the sandbox: every capability written, found again, never doubled."""

import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from graphql import GraphQLSchema, build_client_schema, parse
from graphql.execution.values import get_variable_values

from app.core.errors import ConflictError, RejectedError, UnsupportedError
from schemas.connection import Connection
from schemas.facts import Credit, Customer, Line, Order, Party, Payment, Shipment, ShipmentLine
from sinks.base import Written
from sinks.platforms.shopify import ShopifySink
from tests.platforms.conversation import send
from tests.platforms.shopify.plain import DOMAIN, ORDER_KEY, SINK, SOURCE, command
from tests.platforms.shopify.shop import BOUGHT, HEADERS, Shop, by_type, opened

pytestmark = pytest.mark.sandbox
PAID_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    async with opened() as found:
        yield found


def payment(amount: str, **more: Any) -> Payment:
    return Payment(amount=Decimal(amount), currency="EUR", **more)


# ------------------------------------------------------------------------------------------------------ writing


ORDER = Order(
    number="D-5001",
    currency="EUR",
    customer=Party(name="Bo Lind", email="bo@example.com"),
    lines=(
        Line(sku="MUG", name="Mug", quantity=Decimal(3), unit_price=Decimal(10), net_amount=Decimal(30),
             tax_amount=Decimal(6), tax_rate=Decimal(20)),
        Line(name="Third", quantity=Decimal(3), net_amount=Decimal("10.00"), tax_amount=Decimal(2),
             tax_rate=Decimal(20)),
        Line(kind="shipping", name="Post", net_amount=Decimal("4.90"), tax_amount=Decimal("0.98"),
             tax_rate=Decimal(20)),
        Line(kind="rounding", name="Rounding", net_amount=Decimal("0.01")),
    ),
    payable_amount=Decimal("53.89"),
    note="ring twice",
    po_number="PO-7",
    placed_at=PAID_AT,
)  # fmt: skip


async def test_a_tax_that_fits_no_rate_is_written_as_the_ledger_took_it(shop: Shop) -> None:
    line = Line(name="Mug", quantity=Decimal(2), net_amount=Decimal(20), tax_amount=Decimal(4), tax_rate=Decimal(8))
    order = Order(number="1002", currency="EUR", lines=(line,), payable_amount=Decimal(24))
    written = await shop.talk(SINK.write(command("upsert_order", order, kind="create")))
    assert isinstance(written, Written)
    assert shop.books("order")[0]["total"] == "24.00"


async def test_an_order_is_created_to_the_cent_and_found_again(shop: Shop) -> None:
    wish = command("upsert_order", ORDER, kind="create")
    written = await shop.talk(SINK.write(wish))
    assert isinstance(written, Written)
    row = shop.books("order")[0]
    assert (row["total"], row["number"], row["mark"]) == ("53.89", "D-5001", wish.mark)
    assert isinstance(written.facts, Order)
    assert (written.facts.payable_amount, written.facts.note, written.facts.po_number) == (
        Decimal("53.89"), "ring twice", "PO-7"
    )  # fmt: skip
    assert (await shop.talk(SINK.write(wish))).id == written.id
    assert (await shop.talk(SINK.probe(wish))).id == written.id
    assert len(shop.books("order")) == 1
    assert (await shop.events(written.id))[0].mirror_of == wish.mark


async def test_an_order_is_changed_field_by_field(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", po_number="PO-1", **BOUGHT)
    wish = command("upsert_order", ORDER, kind="set", bound_id=made["id"], changes=("note",))
    written = await shop.talk(SINK.write(wish))
    row = shop.books("order")[0]
    assert (row["note"], row["po_number"]) == ("ring twice", "PO-1")
    assert (await shop.talk(SINK.reread(wish))) == written
    with pytest.raises(UnsupportedError):
        await shop.talk(SINK.write(command("upsert_order", ORDER, bound_id=made["id"], changes=("lines",))))
    assert await shop.talk(SINK.reread(command("upsert_order", ORDER, bound_id="1"))) is None


async def test_lines_that_do_not_add_up_are_not_sent(shop: Shop) -> None:
    wrong = Order(currency="EUR", lines=(Line(net_amount=Decimal(1)),), payable_amount=Decimal(2))
    with pytest.raises(RejectedError):
        await shop.talk(SINK.write(command("upsert_order", wrong)))
    assert shop.books("order") == []


async def test_a_cancellation_moves_no_money_and_is_harmless_twice(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    shop.act("pay_order", id=made["id"], gateway="card")
    wish = command("set_status", ORDER, kind="set", bound_id=made["id"], status="cancelled", text="out of stock")
    for _ in range(2):
        written = await shop.talk(SINK.write(wish))
    assert written.facts.stage == "cancelled"
    assert shop.books("refund") == []
    assert shop.sandbox.counters["mutating"] == 1


async def test_an_order_is_held_released_archived(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)

    async def show(status: str) -> None:
        await shop.talk(SINK.write(command("set_status", ORDER, kind="set", bound_id=made["id"], status=status)))

    order = shop.sandbox.shop.orders[int(made["id"])]
    await show("on_hold")
    assert [hold.external_id for hold in order.holds] == [f"o2c:{ORDER_KEY}"]
    await show("on_hold")
    assert len(order.holds) == 1
    await show("open")
    assert order.holds == []
    await show("closed")
    assert order.closed_at is not None
    with pytest.raises(UnsupportedError):
        await show("delivered")


async def test_payments_are_recorded_once_with_date_and_mark(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    links = {"order": made["id"]}
    first = command("record_payment", payment("10.00", date=date(2026, 3, 1)), links=links)
    second = command("record_payment", payment("10.00", date=date(2026, 3, 1)), "d" * 12, links=links)
    rest = command("record_payment", payment("58.48", paid_at=PAID_AT), "e" * 12, links=links)
    written = [await shop.talk(SINK.write(one)) for one in (first, second, rest, first)]
    assert written[0] == written[3]
    rows = shop.books("payment")
    assert [row["amount"] for row in rows] == ["10.00", "10.00", "58.48"]
    assert {row["date"][:10] for row in rows} == {"2026-03-01"}
    assert shop.books("order")[0]["due"] == "0.00"
    marks = {event.object.id: event.mirror_of for event in by_type(await shop.events(made["id"]), "transaction")}
    assert marks == {one.id: wish.mark for one, wish in zip(written[:3], (first, second, rest), strict=True)}
    assert (await shop.talk(SINK.probe(second))).id == written[1].id


async def test_a_payment_whose_reply_was_lost_is_found_and_not_made_again(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    wish = command("record_payment", payment("10.00", paid_at=PAID_AT), links={"order": made["id"]})
    assert await shop.talk(SINK.probe(wish)) is None
    async with aiohttp.ClientSession() as client:
        talk = SINK.write(wish)
        request = next(talk)
        while request.step != "payment":
            request = talk.send(await send(client, shop.url, request, HEADERS))
        shop.sandbox.injector.faults = shop.sandbox.faults.changed({"reset_after_commit": 1})
        with pytest.raises(aiohttp.ClientError):
            await send(client, shop.url, request, HEADERS)
    shop.sandbox.injector.faults = shop.sandbox.faults.changed({"reset_after_commit": 0})
    found = await shop.talk(SINK.probe(wish))
    assert found.facts.amount == 10
    assert (await shop.talk(SINK.write(wish))).id == found.id
    assert len(shop.books("payment")) == 1


async def test_too_much_money_is_a_conflict(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    with pytest.raises(ConflictError):
        await shop.talk(SINK.write(command("record_payment", payment("999.00"), links={"order": made["id"]})))


async def test_an_unknown_payment_method_is_rejected(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    options = {"payment_method": "Barter"}
    sink = ShopifySink(Connection(name="s", tenant="t", platform="shopify", account=DOMAIN, options=options))
    with pytest.raises(RejectedError, match="GATEWAY_NOT_FOUND"):
        await shop.talk(sink.write(command("record_payment", payment("1.00"), links={"order": made["id"]})))


async def test_a_credit_of_lines_moves_no_money(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    shop.act("pay_order", id=made["id"], gateway="card")
    lines = (Line(sku="PEN", quantity=Decimal(1), net_amount=Decimal("1.35")),)
    wish = command(
        "issue_credit", Credit(amount=Decimal("1.62"), currency="EUR", lines=lines), links={"order": made["id"]}
    )
    written = await shop.talk(SINK.write(wish))
    assert (written.facts.document, written.facts.amount) == ("credit_note", Decimal("1.62"))
    assert (await shop.talk(SINK.write(wish))).id == written.id
    assert [row["amount"] for row in shop.books("refund")] == ["0.00"]
    event = by_type(await shop.events(made["id"]), "refund")[0]
    assert event.mirror_of == wish.mark
    assert shop.books("order")[0]["current_total"] == "76.86"


async def test_a_credit_of_everything_takes_lines_and_shipping(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    wish = command("issue_credit", Credit(amount=Decimal("78.48"), currency="EUR"), links={"order": made["id"]})
    written = await shop.talk(SINK.write(wish))
    assert written.facts.amount == Decimal("78.48")
    assert shop.books("order")[0]["current_total"] == "0.00"


@pytest.mark.parametrize(
    ("amount", "pieces"),
    [("5.00", ("1",)), ("23.98", ("1",)), ("23.99", ("1", "1")), ("71.97", ("2", "2")), ("23.99", ("0.5", "0.5"))],
)
async def test_a_credit_of_another_amount_than_its_lines_is_for_a_person(
    shop: Shop, amount: str, pieces: tuple[str, ...]
) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    lines = tuple(Line(sku="MUG", quantity=Decimal(one), net_amount=Decimal(5)) for one in pieces)
    wish = command(
        "issue_credit", Credit(amount=Decimal(amount), currency="EUR", lines=lines), links={"order": made["id"]}
    )
    with pytest.raises(UnsupportedError):
        await shop.talk(SINK.write(wish))
    assert shop.books("refund") == []


@pytest.mark.parametrize(("included", "amount"), [(False, "23.39"), (True, "19.49")])
async def test_a_credit_of_a_discounted_line_is_worth_what_was_paid(shop: Shop, *, included: bool, amount: str) -> None:
    line = {"sku": "MUG", "title": "Mug", "quantity": 2, "price": "19.99", "discount": "1.00", "tax_rate": "20"}
    made = shop.act("create_order", reference="SO-1", lines=[line], currency="EUR", prices_include_tax=included)
    lines = (Line(sku="MUG", quantity=Decimal(1)),)
    wish = command(
        "issue_credit", Credit(amount=Decimal(amount), currency="EUR", lines=lines), links={"order": made["id"]}
    )
    assert (await shop.talk(SINK.write(wish))).facts.amount == Decimal(amount)


async def test_a_credit_that_no_line_explains_is_for_a_person(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    wish = command("issue_credit", Credit(amount=Decimal(5), currency="EUR"), links={"order": made["id"]})
    with pytest.raises(UnsupportedError):
        await shop.talk(SINK.write(wish))


@pytest.mark.parametrize("keys", [0, 1])
async def test_money_is_refunded_once_over_several_payments(shop: Shop, keys: int) -> None:
    shop.sandbox.injector.faults = shop.sandbox.faults.changed({"idempotency_off": keys})
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    shop.act("pay_order", id=made["id"], gateway="card", amount="50.00")
    shop.act("pay_order", id=made["id"], gateway="gift_card", amount="28.48")
    credit = Credit(document="refund", amount=Decimal("30.00"), currency="EUR", reason="broken")
    wish = command("record_refund", credit, links={"order": made["id"]})
    written = await shop.talk(SINK.write(wish))
    assert (await shop.talk(SINK.write(wish))).id == written.id
    assert [(one.type, one.amount) for one in written.facts.allocations] == [
        ("transaction", Decimal("28.48")), ("transaction", Decimal("1.52"))
    ]  # fmt: skip
    assert [row["amount"] for row in shop.books("refund")] == ["30.00"]
    too_much = command(
        "record_refund", Credit(amount=Decimal(999), currency="EUR"), "f" * 12, links={"order": made["id"]}
    )
    with pytest.raises(RejectedError):
        await shop.talk(SINK.write(too_much))


async def test_of_what_is_owed_in_another_currency_only_the_whole_is_recorded(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", buyer_currency="USD", buyer_rate="1.1037", **BOUGHT)
    links = {"order": made["id"]}
    with pytest.raises(UnsupportedError, match="USD"):
        await shop.talk(SINK.write(command("record_payment", payment("10.00", paid_at=PAID_AT), links=links)))
    assert [request.step for request in shop.asked if request.mutates] == []
    whole = command("record_payment", payment("78.48", paid_at=PAID_AT), links=links)
    assert (await shop.talk(SINK.write(whole))).facts.amount == Decimal("78.48")


async def test_a_buyer_gets_back_the_currency_that_was_paid(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", buyer_currency="USD", buyer_rate="1.1037", **BOUGHT)
    for amount in ("50.00", "20.00"):
        shop.act("pay_order", id=made["id"], gateway="card", amount=amount)
    links = {"order": made["id"]}
    part = command("record_refund", Credit(document="refund", amount=Decimal(10), currency="EUR"), links=links)
    with pytest.raises(UnsupportedError, match="USD"):
        await shop.talk(SINK.write(part))
    whole = command(
        "record_refund", Credit(document="refund", amount=Decimal(70), currency="EUR"), "d" * 12, links=links
    )
    assert (await shop.talk(SINK.write(whole))).facts.amount == 70
    asked = next(request for request in shop.asked if request.step == "refund").json["variables"]["input"]
    assert asked["currency"] == "USD"
    assert [one["amount"] for one in asked["transactions"]] == ["22.07", "55.19"]
    lines = (Line(sku="PEN", quantity=Decimal(1)),)
    credit = Credit(amount=Decimal("1.62"), currency="EUR", lines=lines)
    assert (
        await shop.talk(SINK.write(command("issue_credit", credit, "e" * 12, links=links)))
    ).facts.amount == Decimal("1.62")


async def test_a_parcel_is_recorded_tracked_and_delivered_once(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    links = {"order": made["id"]}
    mug = str(shop.sandbox.shop.orders[int(made["id"])].lines[0].id)
    part = Shipment(carrier="UPS", tracking_numbers=("1Z1",), lines=(ShipmentLine(line=mug, quantity=Decimal(2)),))
    rest = Shipment(status="delivered", carrier="DHL", delivered_at=PAID_AT)
    first, second = (
        command("record_shipment", part, links=links),
        command("record_shipment", rest, "d" * 12, links=links),
    )
    written = [await shop.talk(SINK.write(one)) for one in (first, second, first, second)]
    assert [one.id for one in written[:2]] == [one.id for one in written[2:]]
    assert [(row["tracking"], row["status"]) for row in shop.books("shipment")] == [
        ("1Z1", "fulfilled"),
        ("", "delivered"),
    ]
    parcels = by_type(await shop.events(made["id"]), "fulfillment")
    assert [event.mirror_of for event in parcels] == [first.mark, second.mark]
    moved = Shipment(carrier="UPS", tracking_numbers=("1Z2",), status="delivered")
    change = {"kind": "set", "bound_id": written[0].id, "changes": ("tracking", "status"), "links": links}
    shown = (await shop.talk(SINK.write(command("record_shipment", moved, **change)))).facts
    assert (shown.tracking_numbers, shown.status) == (("1Z2",), "delivered")
    assert (await shop.talk(SINK.probe(second))).id == written[1].id


async def test_a_customer_is_made_once_by_email(shop: Shop) -> None:
    party = Party(name="Chi Nguyen", email="chi@example.com", phone="+491701234567")
    wish = command("upsert_customer", Customer(party=party))
    assert await shop.talk(SINK.probe(wish)) is None
    written = [await shop.talk(SINK.write(wish)) for _ in range(2)]
    assert written[0].id == written[1].id
    assert written[0].facts.party.name == "Chi Nguyen"
    assert (await shop.talk(SINK.probe(wish))).id == written[0].id
    assert shop.asked[-2].lock == "customer:chi@example.com"


async def test_a_note_leaves_the_customers_note_alone(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", note="ring twice", **BOUGHT)
    wish = command("add_note", ORDER, text="Invoice INV-7 is overdue.", links={"order": made["id"]})
    assert await shop.talk(SINK.probe(wish)) is None
    for _ in range(2):
        await shop.talk(SINK.write(wish))
    row = shop.books("order")[0]
    assert (row["note"], row["marks"]) == ("ring twice", {"note_" + "b" * 12: "Invoice INV-7 is overdue."})
    assert await shop.talk(SINK.probe(wish)) is not None


async def test_every_step_of_a_write_has_its_own_name(shop: Shop) -> None:
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    parcel = Shipment(status="delivered", tracking_numbers=("1Z",))
    await shop.talk(SINK.write(command("record_shipment", parcel, links={"order": made["id"]})))
    steps = [request.step for request in shop.asked if request.mutates]
    assert steps == ["shipment claim", "fulfil", "delivered"]


async def test_all_variables_are_what_the_published_schema_wants(shop: Shop, shared: Path) -> None:
    with gzip.open(shared / "specs/shopify/admin-graphql-2026-07.introspection.json.gz") as file:
        data = json.load(file)
    published: GraphQLSchema = build_client_schema(data.get("data", data), assume_valid=True)
    made = shop.act("create_order", reference="SO-1", **BOUGHT)
    links = {"order": made["id"]}
    everything = Credit(amount=Decimal("78.48"), currency="EUR")
    for wish in (
        command("upsert_order", ORDER),
        command("upsert_order", ORDER, bound_id=made["id"], changes=("note", "po_number", "email")),
        command("record_payment", payment("10.00", paid_at=PAID_AT), links=links),
        command("record_payment", payment("68.48", date=date(2026, 3, 2)), "d" * 12, links=links),
        command("record_shipment", Shipment(status="delivered", delivered_at=PAID_AT, carrier="UPS"), links=links),
        command("issue_credit", everything, "f" * 12, links=links),
        command("record_refund", Credit(amount=Decimal(5), currency="EUR"), "e" * 12, links=links),
        command("upsert_customer", Customer(party=Party(email="x@example.com", name="X Y"))),
        command("add_note", ORDER, text="hello", links=links),
        command("set_status", ORDER, bound_id=made["id"], status="on_hold"),
        command("set_status", ORDER, bound_id=made["id"], status="open"),
        command("set_status", ORDER, bound_id=made["id"], status="closed"),
        command("set_status", ORDER, bound_id=made["id"], status="cancelled"),
    ):
        await shop.talk(SINK.write(wish))
    await shop.talk(SOURCE.sweep("orders", "", datetime.now(UTC)))
    assert len(shop.asked) > 30
    for request in shop.asked:
        operation = parse(request.json["query"]).definitions[0]
        variables = json.loads(request.content()[0])["variables"]
        errors = get_variable_values(published, operation.variable_definitions, variables)  # type: ignore[attr-defined]
        assert not isinstance(errors, list), (request.step, errors)
