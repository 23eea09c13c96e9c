"""The simulated HubSpot, driven by the vendor's own library, unchanged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hubspot import HubSpot
from hubspot.crm.associations.v4 import BatchInputPublicDefaultAssociationMultiPost
from hubspot.crm.commerce.invoices import SimplePublicObjectInputForCreate as InvoiceInput
from hubspot.crm.contacts import BatchInputSimplePublicObjectBatchInputUpsert
from hubspot.crm.deals import (
    ApiException,
    BatchInputSimplePublicObjectBatchInputForCreate,
    BatchReadInputSimplePublicObjectId,
    PublicMergeInput,
    PublicObjectSearchRequest,
    SimplePublicObjectInput,
    SimplePublicObjectInputForCreate,
)
from hubspot.crm.line_items import BatchInputSimplePublicObjectBatchInputForCreate as LineInputs
from hubspot.crm.objects.notes import SimplePublicObjectInputForCreate as NoteInput
from hubspot.crm.properties import PropertyCreate
from hubspot.utils.signature import Signature

from app.sandbox.platforms.hubspot import HubspotSandbox

pytestmark = pytest.mark.sandbox
TOKEN = "pat-eu1-made-up"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def sandbox() -> AsyncIterator[tuple[HubspotSandbox, str]]:
    running = HubspotSandbox(quota_scale=10)
    url = await running.start()
    yield running, url
    await running.stop()


async def _until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not done():  # noqa: ASYNC110 - deliveries have no event to wait for
            await asyncio.sleep(0.01)


def _client(url: str) -> HubSpot:
    return HubSpot(access_token=TOKEN, host=url)


def _deal(client: HubSpot, **values: str) -> Any:
    asked = SimplePublicObjectInputForCreate(properties={"dealname": "Order 1001", **values}, associations=[])
    return client.crm.deals.basic_api.create(simple_public_object_input_for_create=asked)


async def test_the_library_creates_changes_and_archives_a_deal(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> None:
        client = _client(sandbox[1])
        deal = _deal(client, amount="120.50", deal_currency_code="EUR")
        changed = SimplePublicObjectInput(properties={"dealstage": "closedwon"})
        client.crm.deals.basic_api.update(deal.id, simple_public_object_input=changed)
        read = client.crm.deals.basic_api.get_by_id(deal.id, properties=["amount", "dealstage", "hs_is_closed_won"])
        assert read.properties["amount"] == "120.50"
        assert read.properties["hs_is_closed_won"] == "true"
        client.crm.deals.basic_api.archive(deal.id)
        with pytest.raises(ApiException) as gone:
            client.crm.deals.basic_api.get_by_id(deal.id)
        assert gone.value.status == 404
        assert client.crm.deals.basic_api.get_page(archived=True).results[0].id == deal.id

    await asyncio.to_thread(work)
    assert sandbox[0].books() == []


async def test_the_library_reads_pages_of_a_list(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> int:
        client = _client(sandbox[1])
        for number in range(12):
            _deal(client, dealname=f"Order {number}")
        return len(client.crm.deals.get_all(properties=["dealname"]))

    assert await asyncio.to_thread(work) == 12


async def test_a_batch_without_trace_ids_fails_as_a_whole(sandbox: tuple[HubspotSandbox, str]) -> None:
    inputs = [
        {"properties": {"dealname": "A"}, "associations": []},
        {"properties": {"missing": "x"}, "associations": []},
    ]

    def work(rows: list[dict[str, Any]]) -> Any:
        batch = BatchInputSimplePublicObjectBatchInputForCreate(inputs=rows)
        api = _client(sandbox[1]).crm.deals.batch_api
        return api.create(batch_input_simple_public_object_batch_input_for_create=batch)

    with pytest.raises(ApiException) as refused:
        await asyncio.to_thread(work, inputs)
    assert refused.value.status == 400
    assert sandbox[0].books() == []
    traced = [{**row, "objectWriteTraceId": f"t{n}"} for n, row in enumerate(inputs)]
    done = await asyncio.to_thread(work, traced)
    assert len(done.results) == 1
    assert done.num_errors == 1
    assert done.errors[0].context["objectWriteTraceId"] == ["t1"]


async def test_an_upsert_on_a_unique_property_happens_once(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> tuple[list[bool], set[str]]:
        client = _client(sandbox[1])
        definition = PropertyCreate(
            name="sync_id",
            label="Sync id",
            type="string",
            field_type="text",
            group_name="dealinformation",
            has_unique_value=True,
        )
        client.crm.properties.core_api.create("deals", property_create=definition)
        row = {"idProperty": "sync_id", "id": "1001", "properties": {"dealname": "Order 1001"}}
        batch = {"inputs": [row]}
        api = client.crm.deals.batch_api
        made = [
            api.upsert(batch_input_simple_public_object_batch_input_upsert=batch).results[0].to_dict() for _ in range(2)
        ]
        found = client.crm.deals.basic_api.get_by_id("1001", id_property="sync_id")
        return [one["new"] for one in made], {found.id, *(one["id"] for one in made)}

    new, ids = await asyncio.to_thread(work)
    assert new == [True, False]
    assert len(ids) == 1


async def test_search_lags_behind_reads_by_id(sandbox: tuple[HubspotSandbox, str]) -> None:
    def search() -> int:
        asked = PublicObjectSearchRequest(
            filter_groups=[{"filters": [{"propertyName": "hs_lastmodifieddate", "operator": "GTE", "value": "0"}]}],
            sorts=[{"propertyName": "hs_lastmodifieddate", "direction": "ASCENDING"}],
            properties=["dealname"],
            limit=200,
            after="0",
        )
        api = _client(sandbox[1]).crm.deals.search_api
        return int(api.do_search(public_object_search_request=asked).total)

    sandbox[0].injector.faults = sandbox[0].faults.changed({"visibility_lag_s": 60})
    await asyncio.to_thread(lambda: _deal(_client(sandbox[1])))
    assert await asyncio.to_thread(search) == 0
    sandbox[0].injector.faults = sandbox[0].faults.changed({"visibility_lag_s": 0})
    assert await asyncio.to_thread(search) == 1


async def test_a_contact_that_exists_is_a_conflict_that_names_it(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> None:
        api = _client(sandbox[1]).crm.contacts
        row = {"idProperty": "email", "id": "a@example.com", "properties": {"email": "a@example.com", "firstname": "A"}}
        batch = BatchInputSimplePublicObjectBatchInputUpsert(inputs=[row])
        made = api.batch_api.upsert(batch_input_simple_public_object_batch_input_upsert=batch).results[0]
        asked = {"properties": {"email": "A@example.com"}, "associations": []}
        with pytest.raises(Exception, match=f"Existing ID: {made.id}") as refused:
            api.basic_api.create(simple_public_object_input_for_create=asked)
        assert getattr(refused.value, "status", 0) == 409

    await asyncio.to_thread(work)


async def test_lines_notes_and_associations_hang_on_the_deal(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> Any:
        client = _client(sandbox[1])
        deal = _deal(client)
        to_deal = {
            "to": {"id": deal.id},
            "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 20}],
        }
        line = {"properties": {"name": "Mug", "quantity": "2", "price": "10.00"}, "associations": [to_deal]}
        made = client.crm.line_items.batch_api.create(
            batch_input_simple_public_object_batch_input_for_create=LineInputs(inputs=[line])
        )
        assert made.results[0].id
        to_deal["types"] = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 214}]
        note = NoteInput(
            properties={"hs_timestamp": "2026-01-31T10:00:00Z", "hs_note_body": "Paid"}, associations=[to_deal]
        )
        client.crm.objects.notes.basic_api.create(simple_public_object_input_for_create=note)
        linked = client.crm.associations.v4.basic_api.get_page("deals", deal.id, "line_items")
        assert [row.to_object_id for row in linked.results] == [made.results[0].id]
        return client.crm.deals.basic_api.get_by_id(deal.id, associations=["line_items", "notes"])

    read = await asyncio.to_thread(work)
    assert read.associations["line items"].results[0].type == "deal_to_line_item"
    (book,) = sandbox[0].books()
    assert book["notes"] == "Paid"


async def test_an_invoice_opens_only_with_a_contact_and_lines(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> None:
        client = _client(sandbox[1])
        api = client.crm.commerce.invoices.basic_api
        asked = InvoiceInput(properties={"hs_currency": "USD"}, associations=[])
        invoice = api.create(simple_public_object_input_for_create=asked)
        opened = {"properties": {"hs_invoice_status": "open"}}
        with pytest.raises(Exception, match="needs a contact"):
            api.update(invoice.id, simple_public_object_input=opened)
        contact = client.crm.contacts.basic_api.create(
            simple_public_object_input_for_create={"properties": {"email": "a@example.com"}, "associations": []}
        )
        line = client.crm.line_items.basic_api.create(
            simple_public_object_input_for_create={
                "properties": {"name": "Mug", "quantity": "2", "price": "10.25"},
                "associations": [],
            }
        )
        v4 = client.crm.associations.v4
        v4.basic_api.create_default("invoices", invoice.id, "contacts", contact.id)
        pairs = BatchInputPublicDefaultAssociationMultiPost(
            inputs=[{"from": {"id": invoice.id}, "to": {"id": line.id}}]
        )
        v4.batch_api.create_default("invoices", "line_items", batch_input_public_default_association_multi_post=pairs)
        api.update(invoice.id, simple_public_object_input=opened)

    await asyncio.to_thread(work)
    (invoice,) = [row for row in sandbox[0].books() if row["kind"] == "invoice"]
    assert (invoice["total"], invoice["due"], invoice["status"]) == ("20.50", "20.50", "invoiced")


async def test_a_merge_makes_a_third_deal(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> tuple[str, str, str]:
        client = _client(sandbox[1])
        one, two = _deal(client), _deal(client)
        asked = PublicMergeInput(primary_object_id=one.id, object_id_to_merge=two.id)
        merged = client.crm.deals.basic_api.merge(public_merge_input=asked)
        read = client.crm.deals.batch_api.read(
            batch_read_input_simple_public_object_id=BatchReadInputSimplePublicObjectId(
                inputs=[{"id": one.id}, {"id": merged.id}], properties=["dealname"], properties_with_history=[]
            )
        )
        assert [row.id for row in read.results] == [merged.id]
        return one.id, two.id, merged.id

    assert len(set(await asyncio.to_thread(work))) == 3


async def test_tokens_are_made_refreshed_and_introspected(sandbox: tuple[HubspotSandbox, str]) -> None:
    def work() -> int:
        client = HubSpot(host=sandbox[1])
        made = client.oauth.tokens_api.create(
            grant_type="refresh_token",
            client_id="sandbox-client",
            client_secret="sandbox-secret",
            refresh_token="refresh-1",
        )
        assert made.expires_in == 1800
        return int(client.oauth.access_tokens_api.get(made.access_token).hub_id)

    assert str(await asyncio.to_thread(work)) == sandbox[0].account


async def test_the_quota_is_told_in_headers_and_searches_have_their_own() -> None:
    running = HubspotSandbox()
    url = await running.start()
    async with aiohttp.ClientSession(headers=AUTH) as session:
        first = await session.get(f"{url}/crm/v3/pipelines/deals")
        assert first.headers["X-HubSpot-RateLimit-Remaining"] == "189"
        body = {"filterGroups": [], "sorts": [], "properties": [], "limit": 1, "after": "0"}
        replies = [await session.post(f"{url}/crm/v3/objects/deals/search", json=body) for _ in range(6)]
        assert [reply.status for reply in replies] == [200] * 5 + [429]
        assert "X-HubSpot-RateLimit-Max" not in replies[0].headers
        assert (await replies[5].json())["policyName"] == "SECONDLY"
    await running.stop()


async def test_every_change_is_told_thinly_and_signed(sandbox: tuple[HubspotSandbox, str]) -> None:
    taken: list[tuple[dict[str, str], str, str]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append((dict(request.headers), await request.text(), str(request.url)))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hooks", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    target = f"http://127.0.0.1:{runner.addresses[0][1]}/hooks"
    sandbox[0].hooks.add(target, "secret")
    async with aiohttp.ClientSession() as session:
        body = {"name": "Order 1", "amount": "10.00", "currency": "EUR", "email": "a@example.com"}
        made = await (await session.post(f"{sandbox[1]}/_sandbox/act/create_deal", json=body)).json()
        await session.post(f"{sandbox[1]}/_sandbox/act/set_stage", json={"id": made["id"], "stage": "Closed Won"})
    await _until(lambda: not sandbox[0].hooks.pending)
    await runner.cleanup()
    events = [event for _, text, _ in taken for event in json.loads(text)]
    kinds = {event["subscriptionType"] for event in events}
    assert {"deal.creation", "deal.propertyChange", "deal.associationChange", "contact.creation"} <= kinds
    stages = [event["propertyValue"] for event in events if event.get("propertyName") == "dealstage"]
    assert stages == ["appointmentscheduled", "closedwon"]
    assert "closedate" in {event.get("propertyName") for event in events}
    headers, text, url = taken[0]
    assert Signature.is_valid(
        headers["X-HubSpot-Signature-v3"],
        "secret",
        text,
        http_uri=url,
        signature_version="v3",
        timestamp=headers["X-HubSpot-Request-Timestamp"],
    )


async def test_people_bill_pay_and_void(sandbox: tuple[HubspotSandbox, str]) -> None:
    async with aiohttp.ClientSession() as session:

        async def act(verb: str, **asked: Any) -> Any:
            return await (await session.post(f"{sandbox[1]}/_sandbox/act/{verb}", json=asked)).json()

        lines = [{"sku": "M1", "title": "Mug", "quantity": 2, "price": "5.00"}]
        made = await act("type_invoice", email="a@example.com", currency="EUR", lines=lines, reference="SO-1")
        await act("type_payment", invoice_id=made["id"], amount="4.00", date="2026-11-02", reference="BANK 7")
        partly = next(row for row in sandbox[0].books() if row["kind"] == "invoice")
        await act("type_payment", invoice_id=made["id"], amount="6.00", date="2026-11-03")
        paid = next(row for row in sandbox[0].books() if row["kind"] == "invoice")
        refused = await act("edit_deal", id=made["id"], note="late")
        await act("tamper", how="cent")
    assert (partly["status"], partly["due"]) == ("partially_paid", "6.00")
    assert (paid["status"], paid["paid"]) == ("paid", "10.00")
    assert "error" in refused
    assert [row["total"] for row in sandbox[0].books() if row["kind"] == "invoice"] == ["10.01"]
