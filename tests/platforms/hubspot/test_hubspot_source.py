"""HubSpot's records as events, and what the source asks for."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import AuthError, DecodeError
from app.core.talk import Response
from schemas.connection import Connection
from schemas.events import Hint
from schemas.facts import Credit, Invoice, Order, Payment, Shipment
from schemas.platforms.hubspot import PLATFORM, wire
from schemas.refs import ObjectRef
from streams.sources.base import Hook
from streams.sources.platforms.hubspot import HubspotSource
from tests.platforms.conversation import answer
from tests.platforms.hubspot.plain import NOW, PORTAL, expected, source_of

MARK = f"o2c1:{'a' * 32}:{'b' * 12}"


def _reply(body: Any, status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(body).encode())


def _sample(shared: Path, file: str) -> Any:
    return json.loads((shared / "samples/hubspot" / file).read_text(), parse_float=Decimal)


def test_every_sample_is_looked_at(shared: Path) -> None:
    here = Path(__file__).parent
    text = "".join(path.read_text() for path in here.glob("test_*.py"))
    for entry in json.loads((shared / "samples/hubspot/index.json").read_text()):
        assert entry["file"] in text


def test_a_recorded_deal_is_an_order(shared: Path) -> None:
    expect = expected(shared, "api_get_deal.json")
    (event,) = source_of().parse("order", _sample(shared, "api_get_deal.json"))
    order = event.facts
    assert isinstance(order, Order)
    assert event.object.id == expect["order_id"]
    assert order.payable_amount == Decimal(expect["total"])
    assert (order.stage, order.status, order.headline) == (expect["stage"], "draft", "draft")
    assert event.changed_at == datetime.fromisoformat(expect["updated_at"])
    assert event.version.native == 1773088185981
    assert (order.currency, expect["currency"]) == ("XXX", None)
    (known,) = source_of(currency="EUR").parse("order", _sample(shared, "api_get_deal.json"))
    assert isinstance(known.facts, Order)
    assert known.facts.currency == "EUR"


def test_a_recorded_page_is_its_deals(shared: Path) -> None:
    expect = expected(shared, "api_list_deals.json")
    page = _sample(shared, "api_list_deals.json")
    events = source_of().parse("order", page)
    first = events[0].facts
    assert isinstance(first, Order)
    assert (len(events), events[0].object.id) == (expect["count"], expect["first_order_id"])
    assert first.payable_amount == Decimal(expect["first_total"])
    assert ("paging" in page) == expect["has_next"]


def test_a_recorded_order_object_is_known_by_its_properties(shared: Path) -> None:
    expect = expected(shared, "api_order_created.json")
    (event,) = source_of().parse("order", _sample(shared, "api_order_created.json"))
    order = event.facts
    assert isinstance(order, Order)
    assert (event.object.type, event.object.id) == ("orders", expect["order_id"])
    assert (order.number, order.currency) == (expect["name"], expect["currency"])
    assert (order.status, order.stage) == ("open", "")
    assert event.changed_at == datetime.fromisoformat(expect["updated_at"])
    record = wire.record_of(_sample(shared, "api_order_created.json"))
    assert record.value("hs_fulfillment_status") == expect["fulfillment_status"]


def test_recorded_pipelines_say_what_won_means(shared: Path) -> None:
    expect = expected(shared, "api_deal_pipelines.json")
    found = wire.pipelines(_sample(shared, "api_deal_pipelines.json"))
    stages = [stage for pipeline in found for stage in pipeline.stages]
    assert [pipeline.id for pipeline in found] == expect["pipeline_ids"]
    assert [stage.id for stage in stages if stage.closed] == expect["closed_stages"]
    assert [stage.id for stage in stages if stage.won] == expect["won_stages"]
    assert {f"deals:{stage.id}" for stage in stages} <= set(PLATFORM.statuses)


def _record(**properties: str | None) -> dict[str, Any]:
    return {"id": "1", "properties": properties, "updatedAt": "2026-11-01T00:00:00Z", "archived": False}


@pytest.mark.parametrize(
    ("stage", "closed", "placed"),
    [
        ("closedwon", "2026-11-20T17:00:00Z", datetime(2026, 11, 20, 17, tzinfo=UTC)),
        ("closedwon", None, datetime(2026, 8, 3, 9, tzinfo=UTC)),
        ("contractsent", "2026-11-30T22:59:59Z", datetime(2026, 8, 3, 9, tzinfo=UTC)),
        ("closedlost", "2026-11-20T17:00:00Z", datetime(2026, 8, 3, 9, tzinfo=UTC)),
    ],
)
def test_a_deal_is_placed_when_it_is_won(stage: str, closed: str | None, placed: datetime) -> None:
    record = _record(dealname="D", dealstage=stage, createdate="2026-08-03T09:00:00Z", closedate=closed)
    (event,) = source_of().parse("deals", record)
    assert isinstance(event.facts, Order)
    assert event.facts.placed_at == placed


def test_an_unmapped_stage_keeps_its_word_and_holds_the_order() -> None:
    (event,) = source_of().parse("order", _record(dealname="D", dealstage="12345"))
    assert isinstance(event.facts, Order)
    assert (event.facts.stage, event.facts.status, event.facts.headline) == ("12345", "on_hold", "")


@pytest.mark.parametrize("key", ["12345", "deals:12345"])
def test_a_mapped_stage_stays_as_it_is(key: str) -> None:
    connection = Connection(
        name="crm", tenant="acme", platform="hubspot", account=PORTAL, statuses={key: "partially_paid"}
    )
    record = _record(dealname="D", dealstage="12345", hs_is_closed_won="true")
    (event,) = HubspotSource(connection).parse("order", record)
    order = event.facts
    assert isinstance(order, Order)
    assert (order.stage, order.status, order.financial) == ("12345", "open", "partially_paid")


def test_numbers_come_in_any_notation() -> None:
    (event,) = source_of().parse("order", _record(dealname="D", amount="2.0E4", deal_currency_code="eur"))
    assert isinstance(event.facts, Order)
    assert (event.facts.payable_amount, event.facts.currency) == (Decimal("20000.00"), "EUR")
    with pytest.raises(DecodeError):
        source_of().parse("order", _record(dealname="D", amount="many"))


def test_an_archived_record_is_deleted() -> None:
    (event,) = source_of().parse("order", {**_record(dealname="D"), "archived": True})
    assert (event.presence, event.facts) == ("deleted", None)


def test_a_deal_that_people_made_names_an_order_by_its_number_and_ours_needs_no_name() -> None:
    (typed,) = source_of().parse("order", _record(dealname="Order #1001"))
    assert [(anchor.kind, anchor.ref.id) for anchor in typed.anchors] == [("number", "Order #1001")]
    (kept,) = source_of(number_property="so").parse("order", _record(dealname="Big one", so="1002"))
    assert [anchor.ref.id for anchor in kept.anchors] == ["1002"]
    (ours,) = source_of().parse("order", _record(dealname="#1001", o2c_mark=MARK))
    assert ours.anchors == ()


def test_an_order_object_shows_its_parcels() -> None:
    record = _record(
        hs_order_name="O",
        hs_fulfillment_status="Delivered",
        hs_shipping_tracking_number="1Z1, 1Z2",
        o2c_shipments=f"- {MARK}",
        o2c_mark=MARK,
    )
    order, first, second = source_of(order_object="orders").parse("order", record)
    assert isinstance(first.facts, Shipment)
    assert (first.facts.tracking_numbers, first.facts.status, first.mirror_of) == (("1Z1",), "delivered", None)
    assert (second.object.id, second.mirror_of) == ("1-1", MARK)
    assert order.mirror_of == MARK


def test_a_payment_names_its_invoices_and_shows_what_went_back() -> None:
    record = {
        **_record(hs_initial_amount="10.00", hs_currency_code="EUR", hs_latest_status="partially_refunded"),
        "associations": {"invoices": {"results": [{"id": "7", "type": "a"}, {"id": "7", "type": "b"}]}},
    }
    record["properties"]["hs_refunds_amount"] = "4.00"
    payment, refund = source_of().parse("payment", record)
    assert isinstance(payment.facts, Payment)
    assert isinstance(refund.facts, Credit)
    assert (payment.facts.status, payment.facts.amount, refund.facts.amount) == ("succeeded", Decimal(10), Decimal(4))
    assert [(anchor.kind, anchor.ref.id) for anchor in payment.anchors] == [("object", "7")]
    assert refund.anchors[0].ref.type == "commerce_payments"


def _paid(*invoices: str, **links: str) -> dict[str, Any]:
    record = _record(hs_initial_amount="10.00", hs_currency_code="EUR", hs_latest_status="succeeded")
    ends = {"invoices": invoices, **{kind: ids.split() for kind, ids in links.items()}}
    rows = {kind: {"results": [{"id": id_, "type": "a"} for id_ in ids]} for kind, ids in ends.items()}
    return {**record, "associations": rows}


def test_a_payment_on_one_invoice_is_booked_there_in_full() -> None:
    (event,) = source_of().parse("payment", _paid("7", deals="1 2"))
    assert isinstance(event.facts, Payment)
    assert [(part.id, part.amount) for part in event.facts.allocations] == [("7", Decimal(10))]


def test_nobody_guesses_what_of_a_payment_went_to_which_of_several_invoices() -> None:
    (event,) = source_of().parse("payment", _paid("7", "8", deals="1"))
    assert isinstance(event.facts, Payment)
    assert event.facts.allocations == ()
    assert [(anchor.kind, anchor.ref.type, anchor.ref.id) for anchor in event.anchors] == [("object", "deals", "1")]
    for links in ({}, {"deals": "1 2"}):
        (event,) = source_of().parse("payment", _paid("7", "8", **links))
        assert event.anchors == ()


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Shipped", "shipped"),
        ("shipped", "shipped"),
        ("Partially shipped", "shipped"),
        ("DELIVERED", "delivered"),
        ("Returned", "returned"),
        ("Cancelled", "cancelled"),
        ("", "shipped"),
        ("Packing", "pending"),
        ("Verpackt", "pending"),
        ("Unterwegs", "shipped"),
        ("Retour", "returned"),
    ],
)
def test_a_parcel_shows_what_its_word_is_known_to_mean(word: str, status: str) -> None:
    statuses = {"shipments:Unterwegs": "fulfilled", "Retour": "returned"}
    connection = Connection(name="crm", tenant="acme", platform="hubspot", account=PORTAL, statuses=statuses)
    record = _record(hs_order_name="O", hs_fulfillment_status=word, hs_shipping_tracking_number="1Z1")
    _, parcel = HubspotSource(connection).parse("orders", record)
    assert isinstance(parcel.facts, Shipment)
    assert (parcel.facts.status, parcel.facts.stage) == (status, word)


@pytest.mark.parametrize(
    ("word", "paid", "status"),
    [
        ("draft", "0", "draft"),
        ("open", "0", "invoiced"),
        ("open", "4.00", "partially_paid"),
        ("paid", "10.00", "paid"),
        ("voided", "0", "void"),
        ("odd", "0", "on_hold"),
    ],
)
def test_an_invoices_status_follows_word_and_balance(word: str, paid: str, status: str) -> None:
    record = _record(hs_currency="EUR", hs_invoice_status=word, hs_amount_billed="10.00", hs_amount_paid=paid)
    (event,) = source_of().parse("invoice", record)
    assert isinstance(event.facts, Invoice)
    assert (event.facts.status, event.facts.stage) == (status, word)


# -- conversations -----------------------------------------------------------------------------------------------------


def _hint(kind: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("crm", PORTAL, kind, id_))


def test_a_missing_record_reads_as_deleted() -> None:
    requests, events = answer(source_of().read(_hint("deals", "1")), _reply({"message": "resource not found"}, 404))
    assert requests[0].path == "/crm/v3/objects/deals/1"
    assert "amount" in requests[0].params["properties"].split(",")
    assert (events[0].presence, events[0].object.id) == ("deleted", "1")


def test_a_merged_record_that_answers_under_its_new_id_ends_the_old_one() -> None:
    record = {**_record(dealname="D", dealstage="closedwon", deal_currency_code="EUR"), "id": "2"}
    _, events = answer(source_of().read(_hint("deals", "1")), _reply(record))
    assert [(event.object.id, event.presence) for event in events] == [("1", "deleted"), ("2", "present")]


def test_a_merge_tells_where_the_old_deals_went_and_what_the_new_one_is_made_of() -> None:
    source = source_of()
    merge = {"subscriptionType": "deal.merge", "primaryObjectId": 1, "mergedObjectIds": [2], "newObjectId": 3}
    seen = {"subscriptionType": "deal.propertyChange", "objectId": 1}
    body = json.dumps([{**event, "portalId": int(PORTAL)} for event in (seen, merge)]).encode()
    hints = {hint.object.id: hint for hint in source.hints(Hook(body=body))}
    new = _reply({**_record(dealname="D", dealstage="closedwon", deal_currency_code="EUR"), "id": "3"})
    for old in ("1", "2"):
        _, (gone,) = answer(source.read(hints[old]), _reply({}, 404))
        assert (gone.presence, gone.facts) == ("deleted", Order(merged_into="3"))
        _, (gone, there) = answer(source.read(hints[old]), new)
        assert (gone.presence, gone.facts) == ("deleted", Order(merged_into="3"))
        assert there.object.id == "3"
    _, (made,) = answer(source.read(hints["3"]), new)
    assert isinstance(made.facts, Order)
    assert made.facts.merged_from == ("1", "2")


@pytest.mark.parametrize(("told", "parts"), [("2;1", ("1", "2")), ("10; 9;3", ("9", "10")), ("3", ()), ("", ())])
def test_a_record_says_itself_what_it_was_merged_from(told: str, parts: tuple[str, ...]) -> None:
    """Whoever hears of it before the merge is told must not take it for a new order."""
    shown = _record(dealname="D", dealstage="closedwon", deal_currency_code="EUR", hs_merged_object_ids=told)
    requests, (event,) = answer(source_of().read(_hint("deals", "3")), _reply({**shown, "id": "3"}))
    assert "hs_merged_object_ids" in requests[0].params["properties"].split(",")
    assert isinstance(event.facts, Order)
    assert event.facts.merged_from == parts


def test_a_refused_token_is_an_auth_error() -> None:
    with pytest.raises(AuthError):
        answer(source_of().read(_hint("deals", "1")), _reply({"category": "INVALID_AUTHENTICATION"}, 401))


def test_a_sweep_starts_where_the_last_one_ended_with_an_overlap() -> None:
    row = _record(hs_lastmodifieddate="2026-11-25T11:59:00Z")
    requests, page = answer(source_of().sweep("deals", "", NOW), _reply({"total": 1, "results": [row]}))
    assert requests[0].json["filterGroups"][0]["filters"][0]["value"] == "0"
    assert page.complete_up_to == NOW - timedelta(seconds=60)
    requests, _ = answer(source_of().sweep("contacts", page.cursor, NOW), _reply({"total": 0, "results": []}))
    since = requests[0].json["filterGroups"][0]["filters"][0]
    assert since["propertyName"] == "lastmodifieddate"
    assert int(since["value"]) == round((NOW - timedelta(minutes=2)).timestamp() * 1000)


def test_invoices_and_payments_are_walked_only_where_asked_for() -> None:
    assert source_of().sweeps() == ("line_items", "deals", "contacts")
    assert source_of(order_object="orders", commerce="yes").sweeps() == (
        "line_items",
        "orders",
        "contacts",
        "invoices",
        "commerce_payments",
    )
