"""The sandbox's replies against HubSpot's own OpenAPI files."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from app.sandbox.platforms.hubspot import HubspotSandbox
from tests.platforms.hubspot.spec import Spec

pytestmark = pytest.mark.sandbox
AUTH = {"Authorization": "Bearer pat-made-up"}
KINDS = {
    "deals": {"dealname": "D"},
    "orders": {"hs_order_name": "O"},
    "contacts": {"email": "a@example.com"},
    "companies": {"name": "Acme"},
    "line_items": {"name": "Mug", "quantity": "2", "price": "1.50"},
    "notes": {"hs_timestamp": "2026-01-31T10:00:00Z", "hs_note_body": "Paid"},
    "invoices": {"hs_currency": "EUR"},
    "commerce_payments": {"hs_initial_amount": "1.00", "hs_currency_code": "EUR"},
}
MERGED = {
    "deals": [{"dealname": "D"}, {"dealname": "E"}],
    "contacts": [{"email": "a@example.com"}, {"email": "b@example.com"}],
    "companies": [{"name": "Acme"}, {"name": "Acme Ltd"}],
}


class Caller:
    """Makes calls and lets the files judge both sides."""

    def __init__(self, session: aiohttp.ClientSession, url: str, spec: Spec) -> None:
        self._session, self._url, self._spec = session, url, spec

    async def __call__(self, method: str, path: str, body: Any = None, *, sound: bool = True) -> tuple[int, Any]:
        sent = b"" if body is None else json.dumps(body).encode()
        bare, _, query = path.partition("?")
        if sound:
            params = dict(part.split("=", 1) for part in query.split("&") if part)
            self._spec.check_request(method, bare, sent, params)
        async with self._session.request(method, self._url + path, data=sent or None, headers=AUTH) as reply:
            answer = await reply.read()
            self._spec.check_reply(method, bare, reply.status, answer)
            return reply.status, json.loads(answer) if answer else None


@pytest.fixture
async def call(shared: Path) -> AsyncIterator[Caller]:
    sandbox = HubspotSandbox(quota_scale=100)
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        yield Caller(session, url, Spec(shared / "specs" / "hubspot"))
    await sandbox.stop()


@pytest.mark.parametrize("place", ["/crm/v3/objects", "/crm/objects/2026-09"])
@pytest.mark.parametrize("kind", list(KINDS))
async def test_every_object_call_answers_as_the_files_say(place: str, kind: str, call: Caller) -> None:
    base, values = f"{place}/{kind}", KINDS[kind]
    status, made = await call("POST", base, {"properties": values, "associations": []})
    assert status == 201
    id_ = made["id"]
    assert (await call("GET", f"{base}/{id_}?properties={','.join(values)}&associations=contacts"))[0] == 200
    assert (await call("GET", f"{base}?limit=1"))[0] == 200
    assert (await call("PATCH", f"{base}/{id_}", {"properties": {}}))[0] == 200
    read = {"inputs": [{"id": id_}, {"id": "1"}], "properties": list(values), "propertiesWithHistory": []}
    assert (await call("POST", f"{base}/batch/read", read))[0] == 207
    update = {"inputs": [{"id": id_, "properties": values, "objectWriteTraceId": "t"}]}
    assert (await call("POST", f"{base}/batch/update", update))[0] == 200
    wrong = {"inputs": [{"associations": [], "properties": {"none": "x"}, "objectWriteTraceId": "t"}]}
    assert (await call("POST", f"{base}/batch/create", wrong))[0] == 207
    search = {"filterGroups": [], "sorts": [], "properties": [], "limit": 10, "after": "0"}
    status, found = await call("POST", f"{base}/search", search)
    assert (status, found["total"]) == (200, 1)
    assert (await call("DELETE", f"{base}/{id_}"))[0] == 204
    assert (await call("GET", f"{base}/{id_}"))[0] == 404
    assert (await call("POST", f"{base}/batch/archive", {"inputs": [{"id": id_}]}))[0] == 204


@pytest.mark.parametrize("base", [*(f"/crm/v3/objects/{kind}" for kind in MERGED), "/crm/objects/2026-09/deals"])
async def test_a_merge_answers_as_the_files_say(base: str, call: Caller) -> None:
    kind = base.rpartition("/")[2]
    made = [(await call("POST", base, {"properties": values, "associations": []}))[1]["id"] for values in MERGED[kind]]
    status, merged = await call("POST", f"{base}/merge", {"primaryObjectId": made[0], "objectIdToMerge": made[1]})
    assert status == 200
    assert (await call("GET", f"{base}/{merged['id']}"))[0] == 200
    assert (await call("POST", f"{base}/merge", {"primaryObjectId": made[0], "objectIdToMerge": "1"}))[0] == 404


async def test_a_person_is_forgotten_as_the_files_say(call: Caller) -> None:
    contacts = "/crm/v3/objects/contacts"
    made = await call("POST", contacts, {"properties": KINDS["contacts"], "associations": []})
    by_email = {"objectId": "a@example.com", "idProperty": "email"}
    assert [(await call("POST", f"{contacts}/gdpr-delete", by_email))[0] for _ in range(2)] == [204, 404]
    assert (await call("GET", f"{contacts}/{made[1]['id']}?archived=true"))[0] == 404
    assert (await call("GET", f"{contacts}?archived=true"))[1]["results"] == []


async def test_refusals_have_the_bodies_of_the_files(call: Caller) -> None:
    deals = "/crm/v3/objects/deals"
    for properties in ({"dealname": "D", "amount": "many"}, {"dealname": "D", "dealstage": "x"}, {"amount": "1"}):
        assert (await call("POST", deals, {"properties": properties, "associations": []}))[0] == 400
    assert (await call("POST", deals, {"properties": None}, sound=False))[0] == 400
    assert (await call("GET", f"{deals}?limit=101"))[0] == 400
    search = {"filterGroups": [], "sorts": [], "properties": [], "limit": 200, "after": "9900"}
    assert (await call("POST", f"{deals}/search", search))[0] == 400
    rows = {"inputs": [{"id": "1", "properties": {}}, {"id": "1", "properties": {}}]}
    assert (await call("POST", f"{deals}/batch/update", rows))[0] == 400
    assert (await call("POST", f"{deals}/batch/archive", {"inputs": [{"id": str(n)} for n in range(101)]}))[0] == 400
    contact = {"properties": {"email": "a@example.com"}, "associations": []}
    assert [(await call("POST", "/crm/v3/objects/contacts", contact))[0] for _ in range(2)] == [201, 409]


async def test_associations_answer_as_the_files_say(call: Caller) -> None:
    ids = [
        (await call("POST", f"/crm/v3/objects/{kind}", {"properties": KINDS[kind], "associations": []}))[1]["id"]
        for kind in ("deals", "contacts", "line_items")
    ]
    deal, contact, line = ids
    base = f"/crm/v4/objects/deals/{deal}/associations"
    assert (await call("PUT", f"{base}/default/contacts/{contact}"))[0] == 200
    types = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 19}]
    assert (await call("PUT", f"{base}/line_items/{line}", types))[0] == 201
    assert (await call("GET", f"{base}/contacts"))[1]["results"][0]["toObjectId"] == contact
    batch = "/crm/v4/associations/deals/contacts/batch"
    pair = {"inputs": [{"from": {"id": deal}, "to": {"id": contact}}]}
    assert (await call("POST", f"{batch}/associate/default", pair))[0] == 200
    assert (await call("POST", f"{batch}/read", {"inputs": [{"id": deal}]}))[0] == 200
    assert (await call("POST", f"{batch}/read", {"inputs": [{"id": deal}, {"id": "1"}]}))[0] == 207
    assert (await call("DELETE", f"{base}/contacts/{contact}"))[0] == 204
    assert (await call("GET", f"{base}/contacts"))[1] == {"results": []}
    assert (await call("PUT", f"{base}/default/contacts/1"))[0] == 404


async def test_settings_answer_as_the_files_say(call: Caller) -> None:
    assert (await call("GET", "/crm/v3/pipelines/orders"))[0] == 200
    stage = {"label": "Signed", "metadata": {"isClosed": "true", "probability": "1.0"}, "displayOrder": 9}
    assert (await call("POST", "/crm/v3/pipelines/deals/default/stages", stage))[0] == 201
    assert (await call("GET", "/crm/v3/pipelines/deals/default"))[0] == 200
    assert (await call("GET", "/crm/v3/pipelines/deals/none"))[0] == 404
    mine = {"name": "sync_id", "label": "S", "type": "string", "fieldType": "text", "groupName": "dealinformation"}
    assert [(await call("POST", "/crm/v3/properties/deals", mine))[0] for _ in range(2)] == [201, 409]
    assert (await call("GET", "/crm/v3/properties/deals"))[0] == 200
    assert (await call("GET", "/crm/v3/properties/deals/none"))[0] == 404
    assert (await call("DELETE", "/crm/v3/properties/deals/sync_id"))[0] == 204


async def test_webhook_settings_answer_as_the_files_say(call: Caller) -> None:
    app = "/webhooks/v3/39522895"
    slow = {"targetUrl": "https://hooks.example.com", "throttling": {"maxConcurrentRequests": 5}}
    fast = {**slow, "throttling": {"maxConcurrentRequests": 10}}
    assert [(await call("PUT", f"{app}/settings", body))[0] for body in (slow, fast)] == [400, 200]
    assert (await call("GET", f"{app}/settings"))[0] == 200
    asked = {"eventType": "deal.propertyChange", "propertyName": "dealstage"}
    status, made = await call("POST", f"{app}/subscriptions", asked)
    assert (status, made["active"]) == (201, False)
    assert (await call("PATCH", f"{app}/subscriptions/{made['id']}", {"active": True}))[1]["active"] is True
    assert (await call("GET", f"{app}/subscriptions"))[0] == 200


async def test_an_unknown_token_is_refused_in_the_files_words(shared: Path) -> None:
    sandbox, spec = HubspotSandbox(), Spec(shared / "specs" / "hubspot")
    url = await sandbox.start()
    async with aiohttp.ClientSession() as session:
        for path in ("/crm/v3/objects/deals", "/oauth/v1/access-tokens/none"):
            async with session.get(url + path, headers={"Authorization": "Bearer none"}) as reply:
                spec.check_reply("GET", path, reply.status, await reply.read())
        form = {"grant_type": "refresh_token", "client_id": "sandbox-client", "client_secret": "sandbox-secret"}
        async with session.post(f"{url}/oauth/v1/token", data={**form, "refresh_token": "refresh-1"}) as reply:
            made = await reply.json()
            spec.check_reply("POST", "/oauth/v1/token", reply.status, await reply.read())
        async with session.get(f"{url}/oauth/v1/access-tokens/{made['access_token']}") as reply:
            spec.check_reply("GET", "/oauth/v1/access-tokens/x", reply.status, await reply.read())
            assert (await reply.json())["hub_id"] == int(sandbox.account)
    await sandbox.stop()
