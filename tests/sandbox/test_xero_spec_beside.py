"""What the simulated Xero says beside its books fits the vendor's other two documents: webhooks and identity."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from openapi_schema_validator import OAS30Validator, OAS31Validator

from tests.platforms.receiver import receiver
from tests.sandbox.xero import AUTH, TENANT, Running, opened

pytestmark = pytest.mark.sandbox
SCHEMAS = {"INVOICE": "WebhookEvent", "CONTACT": "WebhookEvent", "CREDITNOTE": "CreditNoteWebhookEvent"}


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    async with opened() as found:
        yield found


def _components(shared: Path, name: str) -> dict[str, Any]:
    document = yaml.load((shared / "specs/xero" / name).read_text(encoding="utf-8"), yaml.CSafeLoader)
    return {"components": document["components"]}


def _errors(validator: Any, components: dict[str, Any], schema: str, said: Any) -> list[str]:
    found = validator({"$ref": f"#/components/schemas/{schema}", **components}).iter_errors(said)
    return [f"{list(error.absolute_path)}: {error.message}"[:200] for error in found]


async def test_every_delivery_fits_and_a_typing_error_would_be_found(running: Running, shared: Path) -> None:
    components = _components(shared, "xero-webhooks.yaml")
    seen: set[str] = set()
    async with receiver() as hooks:
        running.sandbox.hooks.add(hooks.url, "key")
        made = await running.act("type_invoice", customer="Ada", email="ada@example.com", amount="8")
        await running.act("type_credit", invoice_id=made["id"], amount="5")
        await running.act("void_invoice", id=(await running.act("type_bill", customer="Bo", amount="3"))["id"])
        while seen != set(SCHEMAS):
            said = (await hooks.next()).json()
            for event in said["events"]:
                category = event["eventCategory"]
                assert not _errors(OAS31Validator, components, SCHEMAS[category], {**said, "events": [event]})
                assert _errors(
                    OAS31Validator, components, SCHEMAS[category], {**said, "events": [{**event, "eventType": "x"}]}
                )
                seen.add(category)


async def test_connections_and_tokens_fit(running: Running, shared: Path) -> None:
    components = _components(shared, "xero-identity.yaml")
    form = {"grant_type": "refresh_token", "refresh_token": "sandbox-refresh", "client_id": "sandbox-client"}
    async with aiohttp.ClientSession(headers=AUTH) as session:
        async with session.get(f"{running.url}/connections") as reply:
            rows = await reply.json()
        async with session.post(
            f"{running.url}/connect/token", data={**form, "client_secret": "sandbox-secret"}
        ) as reply:
            token = await reply.json()
        async with session.delete(f"{running.url}/connections/{AUTH['xero-tenant-id'][::-1]}") as reply:
            assert reply.status == 404
        async with session.delete(f"{running.url}/connections/{TENANT}") as reply:
            assert (reply.status, await reply.read()) == (204, b"")
    assert [row["tenantId"] for row in rows] == [TENANT]
    for row in rows:
        assert set(row) <= set(components["components"]["schemas"]["Connection"]["properties"])
        assert not _errors(OAS30Validator, components, "Connection", row)
        assert _errors(OAS30Validator, components, "Connection", {**row, "tenantId": 1})
    told = {*components["components"]["schemas"]["AccessToken"]["properties"], "scope"}  # which clients of theirs read
    assert set(token) <= told
    assert not _errors(OAS30Validator, components, "AccessToken", token)
