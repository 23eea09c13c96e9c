"""HubSpot's deliveries and records as hints and events."""

from __future__ import annotations

import base64
import hashlib
import hmac
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

PORTAL = "48975575"
SECRET = "made-up-secret"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MARK = f"o2c1:{'a' * 32}:{'b' * 12}"


def _source(account: str = PORTAL, **options: str) -> HubspotSource:
    return HubspotSource(Connection(name="crm", tenant="acme", platform="hubspot", account=account, options=options))


def _reply(body: Any, status: int = 200) -> Response:
    return Response(status=status, body=json.dumps(body).encode())


def _hook(*events: dict[str, Any], **headers: str) -> Hook:
    rows = [{"portalId": int(PORTAL), "occurredAt": 1782371972793, **event} for event in events]
    return Hook(url="https://hooks.example.com/hooks/app/hubspot", headers=headers, body=json.dumps(rows).encode())


def _named(source: HubspotSource, *events: dict[str, Any]) -> list[tuple[str, str]]:
    return [(hint.object.type, hint.object.id) for hint in source.hints(_hook(*events))]


# -- signatures --------------------------------------------------------------------------------------------------------


def _signed(hook: Hook, at: datetime, url: str | None = None) -> Hook:
    stamp = str(round(at.timestamp() * 1000))
    message = b"POST" + (url or hook.url).encode() + hook.body + stamp.encode()
    value = base64.b64encode(hmac.new(SECRET.encode(), message, hashlib.sha256).digest()).decode()
    headers = {"x-hubspot-signature-v3": value, "x-hubspot-request-timestamp": stamp}
    return Hook(url=hook.url, headers=headers, body=hook.body)


def test_the_vendors_vectors_verify(shared: Path) -> None:
    vectors = json.loads((shared / "samples/hubspot/signature_vectors.json").read_text())["vectors"]
    for vector in vectors:
        version = vector["version"]
        headers = {"x-hubspot-signature": vector["signature"], "x-hubspot-signature-version": version}
        if version == "v3":
            headers = {
                "x-hubspot-signature-v3": vector["signature"],
                "x-hubspot-request-timestamp": vector["timestamp"],
            }
        now = datetime.fromtimestamp(int(vector.get("timestamp", 0)) / 1000 + 1, UTC)
        hook = Hook(url=vector.get("uri", ""), headers=headers, body=vector["body"].encode())
        source = _source(legacy_signatures="yes")
        assert source.verify(hook, ["other", vector["secret"]], now), vector["name"]
        assert not source.verify(hook, ["other"], now), vector["name"]
        changed = Hook(url=hook.url, headers=headers, body=hook.body + b" ")
        assert not source.verify(changed, [vector["secret"]], now), vector["name"]


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_signature_that_is_too_old_or_from_the_future_is_refused(minutes: int) -> None:
    hook = _signed(_hook({"subscriptionType": "deal.creation", "objectId": 1}), NOW)
    assert _source().verify(hook, [SECRET], NOW)
    assert not _source().verify(hook, [SECRET], NOW + timedelta(minutes=minutes))


def test_only_the_listed_escapes_of_the_address_are_undone() -> None:
    hook = Hook(url="https://h.example.com/a%3Ab%20c?x=%2Fy%3f#top", body=b"[]")
    signed = _signed(hook, NOW, "https://h.example.com/a:b%20c?x=/y?")
    assert _source().verify(signed, [SECRET], NOW)


def test_old_signatures_count_only_where_the_connection_allows_them() -> None:
    body = b"[]"
    headers = {"x-hubspot-signature": hashlib.sha256(SECRET.encode() + body).hexdigest()}
    hook = Hook(headers=headers, body=body)
    assert not _source().verify(hook, [SECRET], NOW)
    assert _source(legacy_signatures="yes").verify(hook, [SECRET], NOW)
    both = Hook(headers={**headers, "x-hubspot-signature-v3": "wrong"}, body=body)
    assert not _source(legacy_signatures="yes").verify(both, [SECRET], NOW)


def test_a_delivery_without_a_usable_signature_is_refused() -> None:
    assert not _source(legacy_signatures="yes").verify(Hook(body=b"[]"), [SECRET], NOW)
    odd = {"x-hubspot-signature-v3": "\udcff", "x-hubspot-request-timestamp": str(round(NOW.timestamp() * 1000))}
    assert not _source().verify(Hook(headers=odd, body=b"[]"), [SECRET], NOW)


# -- hints -------------------------------------------------------------------------------------------------------------


def test_both_names_of_the_type_key_are_read(shared: Path) -> None:
    expect = _expected(shared, "webhook_contact_mixed_eventType.json")
    body = (shared / "samples/hubspot/webhook_contact_mixed_eventType.json").read_bytes()
    hints = _source("33").hints(Hook(body=body))
    assert [hint.reason for hint in hints] == expect["event_types"]
    assert len(hints) == expect["event_count"]
    assert {hint.object.type for hint in hints} == {"contacts"}


def test_a_recorded_stage_change_becomes_one_hint(shared: Path) -> None:
    expect = _expected(shared, "webhook_deal_stage_change.json")
    hook = Hook(body=(shared / "samples/hubspot/webhook_deal_stage_change.json").read_bytes())
    (hint,) = _source(expect["portal_id"]).hints(hook)
    assert hint.object == ObjectRef("crm", expect["portal_id"], "deals", expect["order_id"])
    assert (hint.reason, hint.hinted_at) == (expect["event_type"], datetime.fromisoformat(expect["occurred_at"]))
    assert _source(expect["portal_id"]).to_events(hook) == []
    assert HubspotSource.accounts(hook) == {expect["portal_id"]}


def test_two_events_of_one_deal_are_one_hint(shared: Path) -> None:
    expect = _expected(shared, "webhook_deal_batch_create_amount.json")
    hook = Hook(body=(shared / "samples/hubspot/webhook_deal_batch_create_amount.json").read_bytes())
    hints = _source().hints(hook)
    assert [hint.object.id for hint in hints] == expect["distinct_order_ids"]
    assert _source("1").hints(hook) == []


def test_ids_of_64_bits_stay_exact() -> None:
    assert _named(_source(), {"subscriptionType": "deal.creation", "objectId": 9223372036854775807}) == [
        ("deals", "9223372036854775807")
    ]


def test_every_kind_of_event_names_its_records() -> None:
    source = _source()
    deal = {"subscriptionType": "deal.merge", "primaryObjectId": 1, "mergedObjectIds": [2, 3], "newObjectId": 4}
    assert _named(source, deal) == [("deals", "1"), ("deals", "4"), ("deals", "2"), ("deals", "3")]
    assert _named(source, {"subscriptionType": "deal.deletion", "objectId": 5, "changeFlag": "DELETED"}) == [
        ("deals", "5")
    ]
    linked = {"subscriptionType": "deal.associationChange", "associationType": "DEAL_TO_CONTACT"}
    assert _named(source, {**linked, "fromObjectId": 6, "toObjectId": 7}) == [("deals", "6"), ("contacts", "7")]
    assert _named(source, {"subscriptionType": "line_item.propertyChange", "objectId": 8}) == [("line_items", "8")]
    assert _named(source, {"subscriptionType": "contact.privacyDeletion", "objectId": 9}) == [("contacts", "9")]
    assert _named(source, {"subscriptionType": "deal.restore", "objectId": 10}) == [("deals", "10")]


def test_a_line_that_is_told_together_with_its_order_needs_no_read_of_its_own() -> None:
    ends = {"subscriptionType": "line_item.associationChange", "fromObjectId": 1, "toObjectId": 2}
    assert _named(_source(), {**ends, "associationType": "LINE_ITEM_TO_DEAL"}) == [("deals", "2")]
    assert _named(_source(), {**ends, "associationType": "LINE_ITEM_TO_INVOICE"}) == [("invoices", "2")]
    elsewhere = _source(order_object="orders")
    assert _named(elsewhere, {**ends, "associationType": "LINE_ITEM_TO_DEAL"}) == [("line_items", "1")]


def test_generic_events_are_known_by_their_type_id() -> None:
    event = {"subscriptionType": "object.propertyChange", "objectId": 1, "propertyName": "hs_invoice_status"}
    assert _named(_source(), {**event, "objectTypeId": "0-53"}) == [("invoices", "1")]
    assert _named(_source(order_object="orders"), {**event, "objectTypeId": "0-123"}) == [("orders", "1")]
    assert _named(_source(), {**event, "objectTypeId": "0-123"}) == []
    assert _named(_source(), {**event, "objectTypeId": "2-999"}) == []
    ends = {"fromObjectTypeId": "0-101", "toObjectTypeId": "0-53", "fromObjectId": 1, "toObjectId": 2}
    assert _named(_source(), {"subscriptionType": "object.associationChange", **ends}) == [
        ("commerce_payments", "1"),
        ("invoices", "2"),
    ]


def test_events_of_other_things_are_ignored() -> None:
    assert _named(_source(), {"subscriptionType": "conversation.newMessage", "objectId": 1}) == []
    assert _named(_source(), {"subscriptionType": "ticket.creation", "objectId": 1}) == []


def test_our_own_echo_is_read_last() -> None:
    own = {"subscriptionType": "deal.creation", "objectId": 1, "changeSource": "INTEGRATION", "sourceId": "39522895"}
    other = {**own, "objectId": 2, "sourceId": "1"}
    priorities = [hint.priority for hint in _source(app_id="39522895").hints(_hook(own, other))]
    assert priorities == [2, 1]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"id": "7", "properties": {"dealname": "D"}}, ("deals", "7")),
        ({"portalId": int(PORTAL), "dealId": 7, "properties": {"dealname": {"value": "D"}}}, ("deals", "7")),
        ({"objectId": 7, "objectTypeId": "0-1"}, ("contacts", "7")),
        ({"vid": 7, "properties": {}}, ("contacts", "7")),
    ],
)
def test_a_workflow_posts_the_record_itself(body: dict[str, Any], named: tuple[str, str]) -> None:
    (hint,) = _source().hints(Hook(body=json.dumps(body).encode()))
    assert (hint.object.type, hint.object.id) == named


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"x"', b"[" * 100_000])
def test_unreadable_bytes_are_named_as_such(body: bytes) -> None:
    with pytest.raises(DecodeError):
        _source().hints(Hook(body=body))


# -- records -----------------------------------------------------------------------------------------------------------


def _expected(shared: Path, file: str) -> dict[str, Any]:
    index = json.loads((shared / "samples/hubspot/index.json").read_text())
    return next(entry["expect"] for entry in index if entry["file"] == file)


def _sample(shared: Path, file: str) -> Any:
    return json.loads((shared / "samples/hubspot" / file).read_text(), parse_float=Decimal)


def test_every_sample_is_looked_at(shared: Path) -> None:
    here = Path(__file__).parent
    text = "".join(path.read_text() for path in here.glob("test_*.py"))
    for entry in json.loads((shared / "samples/hubspot/index.json").read_text()):
        assert entry["file"] in text


def test_a_recorded_deal_is_an_order(shared: Path) -> None:
    expect = _expected(shared, "api_get_deal.json")
    (event,) = _source().parse("order", _sample(shared, "api_get_deal.json"))
    order = event.facts
    assert isinstance(order, Order)
    assert event.object.id == expect["order_id"]
    assert order.payable_amount == Decimal(expect["total"])
    assert (order.stage, order.status, order.headline) == (expect["stage"], "draft", "draft")
    assert event.changed_at == datetime.fromisoformat(expect["updated_at"])
    assert event.version.native == 1773088185981
    assert (order.currency, expect["currency"]) == ("XXX", None)
    (known,) = _source(currency="EUR").parse("order", _sample(shared, "api_get_deal.json"))
    assert isinstance(known.facts, Order)
    assert known.facts.currency == "EUR"


def test_a_recorded_page_is_its_deals(shared: Path) -> None:
    expect = _expected(shared, "api_list_deals.json")
    page = _sample(shared, "api_list_deals.json")
    events = _source().parse("order", page)
    first = events[0].facts
    assert isinstance(first, Order)
    assert (len(events), events[0].object.id) == (expect["count"], expect["first_order_id"])
    assert first.payable_amount == Decimal(expect["first_total"])
    assert ("paging" in page) == expect["has_next"]


def test_a_recorded_order_object_is_known_by_its_properties(shared: Path) -> None:
    expect = _expected(shared, "api_order_created.json")
    (event,) = _source().parse("order", _sample(shared, "api_order_created.json"))
    order = event.facts
    assert isinstance(order, Order)
    assert (event.object.type, event.object.id) == ("orders", expect["order_id"])
    assert (order.number, order.currency) == (expect["name"], expect["currency"])
    assert (order.status, order.stage) == ("open", "")
    assert event.changed_at == datetime.fromisoformat(expect["updated_at"])
    record = wire.record_of(_sample(shared, "api_order_created.json"))
    assert record.value("hs_fulfillment_status") == expect["fulfillment_status"]


def test_recorded_pipelines_say_what_won_means(shared: Path) -> None:
    expect = _expected(shared, "api_deal_pipelines.json")
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
    (event,) = _source().parse("deals", record)
    assert isinstance(event.facts, Order)
    assert event.facts.placed_at == placed


def test_an_unmapped_stage_keeps_its_word_and_holds_the_order() -> None:
    (event,) = _source().parse("order", _record(dealname="D", dealstage="12345"))
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
    (event,) = _source().parse("order", _record(dealname="D", amount="2.0E4", deal_currency_code="eur"))
    assert isinstance(event.facts, Order)
    assert (event.facts.payable_amount, event.facts.currency) == (Decimal("20000.00"), "EUR")
    with pytest.raises(DecodeError):
        _source().parse("order", _record(dealname="D", amount="many"))


def test_an_archived_record_is_deleted() -> None:
    (event,) = _source().parse("order", {**_record(dealname="D"), "archived": True})
    assert (event.presence, event.facts) == ("deleted", None)


def test_a_deal_that_people_made_names_an_order_by_its_number_and_ours_needs_no_name() -> None:
    (typed,) = _source().parse("order", _record(dealname="Order #1001"))
    assert [(anchor.kind, anchor.ref.id) for anchor in typed.anchors] == [("number", "Order #1001")]
    (kept,) = _source(number_property="so").parse("order", _record(dealname="Big one", so="1002"))
    assert [anchor.ref.id for anchor in kept.anchors] == ["1002"]
    (ours,) = _source().parse("order", _record(dealname="#1001", o2c_mark=MARK))
    assert ours.anchors == ()


def test_an_order_object_shows_its_parcels() -> None:
    record = _record(
        hs_order_name="O",
        hs_fulfillment_status="Delivered",
        hs_shipping_tracking_number="1Z1, 1Z2",
        o2c_shipments=f"- {MARK}",
        o2c_mark=MARK,
    )
    order, first, second = _source(order_object="orders").parse("order", record)
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
    payment, refund = _source().parse("payment", record)
    assert isinstance(payment.facts, Payment)
    assert isinstance(refund.facts, Credit)
    assert (payment.facts.status, payment.facts.amount, refund.facts.amount) == ("succeeded", Decimal(10), Decimal(4))
    assert [(anchor.kind, anchor.ref.id) for anchor in payment.anchors] == [("object", "7")]
    assert refund.anchors[0].ref.type == "commerce_payments"


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
    (event,) = _source().parse("invoice", record)
    assert isinstance(event.facts, Invoice)
    assert (event.facts.status, event.facts.stage) == (status, word)


# -- conversations -----------------------------------------------------------------------------------------------------


def _hint(kind: str, id_: str) -> Hint:
    return Hint(tenant="acme", object=ObjectRef("crm", PORTAL, kind, id_))


def test_a_missing_record_reads_as_deleted() -> None:
    requests, events = answer(_source().read(_hint("deals", "1")), _reply({"message": "resource not found"}, 404))
    assert requests[0].path == "/crm/v3/objects/deals/1"
    assert "amount" in requests[0].params["properties"].split(",")
    assert (events[0].presence, events[0].object.id) == ("deleted", "1")


def test_a_merged_record_that_answers_under_its_new_id_ends_the_old_one() -> None:
    record = {**_record(dealname="D", dealstage="closedwon"), "id": "2"}
    _, events = answer(_source().read(_hint("deals", "1")), _reply(record))
    assert [(event.object.id, event.presence) for event in events] == [("1", "deleted"), ("2", "present")]


def test_a_merge_tells_where_the_old_deals_went_and_what_the_new_one_is_made_of() -> None:
    source = _source()
    merge = {"subscriptionType": "deal.merge", "primaryObjectId": 1, "mergedObjectIds": [2], "newObjectId": 3}
    seen = {"subscriptionType": "deal.propertyChange", "objectId": 1}
    body = json.dumps([{**event, "portalId": int(PORTAL)} for event in (seen, merge)]).encode()
    hints = {hint.object.id: hint for hint in source.hints(Hook(body=body))}
    new = _reply({**_record(dealname="D", dealstage="closedwon"), "id": "3"})
    for old in ("1", "2"):
        _, (gone,) = answer(source.read(hints[old]), _reply({}, 404))
        assert (gone.presence, gone.facts) == ("deleted", Order(merged_into="3"))
        _, (gone, there) = answer(source.read(hints[old]), new)
        assert (gone.presence, gone.facts) == ("deleted", Order(merged_into="3"))
        assert there.object.id == "3"
    _, (made,) = answer(source.read(hints["3"]), new)
    assert isinstance(made.facts, Order)
    assert made.facts.merged_from == ("1", "2")


def test_a_refused_token_is_an_auth_error() -> None:
    with pytest.raises(AuthError):
        answer(_source().read(_hint("deals", "1")), _reply({"category": "INVALID_AUTHENTICATION"}, 401))


def test_a_sweep_starts_where_the_last_one_ended_with_an_overlap() -> None:
    row = _record(hs_lastmodifieddate="2026-11-25T11:59:00Z")
    requests, page = answer(_source().sweep("deals", "", NOW), _reply({"total": 1, "results": [row]}))
    assert requests[0].json["filterGroups"][0]["filters"][0]["value"] == "0"
    assert page.complete_up_to == NOW - timedelta(seconds=60)
    requests, _ = answer(_source().sweep("contacts", page.cursor, NOW), _reply({"total": 0, "results": []}))
    since = requests[0].json["filterGroups"][0]["filters"][0]
    assert since["propertyName"] == "lastmodifieddate"
    assert int(since["value"]) == round((NOW - timedelta(minutes=2)).timestamp() * 1000)


def test_invoices_and_payments_are_walked_only_where_asked_for() -> None:
    assert _source().sweeps() == ("deals", "contacts")
    assert _source(order_object="orders", commerce="yes").sweeps() == (
        "orders",
        "contacts",
        "invoices",
        "commerce_payments",
    )
