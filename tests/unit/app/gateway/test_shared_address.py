"""One address for all companies of an app: a delivery reaches whom it names, if it is signed with that one's secret."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from app import platforms
from app.config.model import ResolvedConnection
from app.deliveries.record import Delivery
from app.deliveries.translating import Meaning, meaning
from app.gateway.addresses import Address, addresses
from app.gateway.intake import turned_away
from schemas.connection import Connection
from streams.sources.base import Hook

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PUBLIC = "https://hooks.example.com/hooks/"
COMPANIES = {"acme": "1001", "beta": "2002", "gamma": "3003"}
"""Tenant -> its account."""
Changed = Callable[..., Any]


def xero(*accounts: str) -> Any:
    events = [
        {"resourceId": f"doc-{account}", "tenantId": account, "eventCategory": "INVOICE", "eventType": "UPDATE",
         "eventDateUtc": "2026-03-01T00:00:00.000"}
        for account in accounts
    ]  # fmt: skip
    return {"events": events, "firstEventSequence": 1, "lastEventSequence": 1, "entropy": "X"}


def quickbooks(*accounts: str) -> Any:
    """In the form of before, which lists realms."""
    return {
        "eventNotifications": [
            {"realmId": account, "dataChangeEvent": {"entities": [
                {"name": "Invoice", "id": f"doc-{account}", "operation": "Update", "lastUpdated": "2026-03-01T00:00:00Z"}
            ]}}
            for account in accounts
        ]
    }  # fmt: skip


def quickbooks_events(*accounts: str) -> Any:
    return [
        {"type": "qbo.invoice.updated.v1", "intuitaccountid": account, "intuitentityid": f"doc-{account}",
         "time": "2026-03-01T00:00:00Z", "id": account, "source": "x", "specversion": "1.0"}
        for account in accounts
    ]  # fmt: skip


def hubspot(*accounts: str) -> Any:
    return [
        {"subscriptionType": "deal.propertyChange", "portalId": int(account), "objectId": int(account), "eventId": 1,
         "occurredAt": 1_772_323_200_000, "propertyName": "amount"}
        for account in accounts
    ]  # fmt: skip


def signed(slug: str, body: bytes, secret: str) -> dict[str, str]:
    """Return the headers of a delivery to the shared address, signed as the vendor does."""
    if slug == "hubspot":
        stamp = str(int(NOW.timestamp() * 1000))
        text = b"POST" + f"{PUBLIC}{slug}/default".encode() + body + stamp.encode()
        given = base64.b64encode(hmac.digest(secret.encode(), text, "sha256")).decode()
        return {"x-hubspot-signature-v3": given, "x-hubspot-request-timestamp": stamp}
    name = {"xero": "x-xero-signature", "quickbooks_online": "intuit-signature", "shopify": "x-shopify-hmac-sha256"}
    return {name[slug]: base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()}


def serving(slug: str, secrets: Mapping[str, str], apps: Mapping[str, str] | None = None) -> Mapping[Any, Address]:
    """Return the addresses of a company per tenant in *secrets*, each with its own app's secret."""
    loaded = platforms.load(slug)
    resolved = [
        ResolvedConnection(
            connection=Connection(
                name=f"{tenant}-books", tenant=tenant, platform=slug, account=COMPANIES[tenant],
                options={"app": apps[tenant]} if apps else {},
            ),
            secrets={loaded.platform.hook_secret: secret}, allow_private=True, sweep_seconds=1, quota_share=1,
        )
        for tenant, secret in secrets.items()
    ]  # fmt: skip
    return addresses(resolved, {slug: loaded.source})


def delivered(address: Address, said: Any, secret: str, **headers: str) -> Meaning | int:
    """Return what a delivery means, or the status with which it was refused."""
    slug, body = address.platform.slug, json.dumps(said).encode()
    told = {**signed(slug, body, secret), **{name.replace("_", "-"): value for name, value in headers.items()}}
    hook = Hook(method="POST", url=f"{PUBLIC}{slug}/default", headers=told, body=body)
    if (away := turned_away(address, hook, NOW)) is not None:
        return away.reply.status
    kept = {name: told[name] for name in address.kept if name in told}
    owner, _, name = address.key.decode().partition("/")
    return meaning(address, Delivery(owner=owner, name=name, received=NOW, trace="", headers=kept, body=body))


def hinted(found: Meaning | int) -> set[tuple[str, str, str]]:
    assert isinstance(found, Meaning)
    return {(one.tenant, one.object.connection, one.object.account) for one in found.hints}


SHARED = pytest.mark.parametrize(
    ("slug", "told"),
    [
        ("xero", xero), ("quickbooks_online", quickbooks), ("quickbooks_online", quickbooks_events),
        ("hubspot", hubspot),
    ],
)  # fmt: skip


@SHARED
def test_a_delivery_reaches_the_companies_that_it_names_and_no_other(slug: str, told: Changed) -> None:
    address = serving(slug, dict.fromkeys(COMPANIES, "one-app"))[slug, "default"]
    assert len(address.sources) == len(COMPANIES)
    for tenant, account in COMPANIES.items():
        assert hinted(delivered(address, told(account), "one-app")) == {(tenant, f"{tenant}-books", account)}
    two = hinted(delivered(address, told("1001", "3003"), "one-app"))
    assert two == {("acme", "acme-books", "1001"), ("gamma", "gamma-books", "3003")}
    assert hinted(delivered(address, told("9999"), "one-app")) == set(), "a company that nobody configured"
    assert isinstance(delivered(address, told("1001"), "another app's"), int)


@SHARED
def test_apps_of_another_name_have_addresses_of_their_own(slug: str, told: Changed) -> None:
    apps = {"acme": "default", "beta": "second", "gamma": "second"}
    served = serving(slug, {"acme": "a", "beta": "b", "gamma": "b"}, apps)
    assert [len(served[slug, name].sources) for name in ("default", "second")] == [1, 2]
    assert hinted(delivered(served[slug, "default"], told("2002"), "a")) == set()


@SHARED
def test_who_knows_one_companys_secret_tells_of_no_other_company(slug: str, told: Changed) -> None:
    address = serving(slug, {"acme": "a", "beta": "b"})[slug, "default"]
    assert hinted(delivered(address, told("1001"), "a")) == {("acme", "acme-books", "1001")}
    assert hinted(delivered(address, told("2002"), "b")) == {("beta", "beta-books", "2002")}
    for accounts in (("2002",), ("1001", "2002")):
        assert isinstance(delivered(address, told(*accounts), "a"), int), "refused, as an unsigned one is"
    rubbish = delivered(address, "rubbish", "a")
    assert isinstance(rubbish, Meaning)
    assert rubbish.outcome == "unreadable", "it is kept and put aside with its reason, as ever"


def test_a_complete_record_of_a_shop_counts_only_under_that_shops_secret() -> None:
    address = serving("shopify", {"acme": "a", "beta": "b"})["shopify", "default"]
    at = "2026-03-01T00:00:00+00:00"
    order = {
        "id": 1,
        "name": "#1",
        "currency": "EUR",
        "total_price": "1.00",
        "line_items": [],
        "created_at": at,
        "updated_at": at,
    }
    named = {"x_shopify_topic": "orders/updated", "x_shopify_shop_domain": "2002"}
    own = delivered(address, order, "b", **named)
    assert isinstance(own, Meaning)
    assert {one.tenant for one in own.events} == {"beta"}
    assert isinstance(delivered(address, order, "a", **named), int)
