"""Made-up signed deliveries, as vendors send them: a Shopify order of 2 kB, HubSpot's batches, Stripe's snapshots."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SHOP = "bench.myshopify.com"
PORTAL = "4711"
STRIPE = "acct_bench"
SECRET = "bench-webhook-secret"
SHOPIFY_PATH, HUBSPOT_PATH, STRIPE_PATH = "/hooks/acme/shop", "/hooks/acme/crm", "/hooks/acme/pay"
CONNECTIONS = f"""
[tenant.connections.shop]
platform = "shopify"
account = "{SHOP}"
base_url = "http://127.0.0.1:1"
allow_private = true
start_at = "beginning"
secrets = {{ token = "t", client_secret = "{SECRET}", webhook_secret = "{SECRET}" }}
[tenant.connections.crm]
platform = "hubspot"
account = "{PORTAL}"
base_url = "http://127.0.0.1:1"
allow_private = true
start_at = "beginning"
secrets = {{ token = "t", webhook_secret = "{SECRET}" }}
[tenant.connections.pay]
platform = "stripe"
account = "{STRIPE}"
base_url = "http://127.0.0.1:1"
allow_private = true
start_at = "beginning"
secrets = {{ token = "t", webhook_secret = "{SECRET}" }}
"""


@dataclass(frozen=True)
class Delivery:
    """One request: where it goes, its headers and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    def bytes(self, host: str) -> bytes:
        """Return the request as it goes over the wire."""
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def shopify(count: int, first: int = 0) -> Iterator[Delivery]:
    """Yield *count* deliveries of `orders/updated`, each of another order, of about 2 kB."""
    for number in range(first, first + count):
        body = json.dumps(_order(number), separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": "orders/updated",
            "X-Shopify-Shop-Domain": SHOP,
            "X-Shopify-API-Version": "2026-07",
            "X-Shopify-Webhook-Id": f"b54557e4-bdd9-4b37-8a5f-{number:012d}",
            "X-Shopify-Event-Id": f"98880550-7158-44d4-b7cd-{number:012d}",
            "X-Shopify-Triggered-At": "2026-11-25T12:00:00.123456789Z",
            "X-Shopify-Hmac-SHA256": _base64(body),
        }
        yield Delivery(SHOPIFY_PATH, headers, body)


def hubspot(count: int, public_url: str, events: int = 20) -> Iterator[Delivery]:
    """Yield *count* thin batches, each of *events* changes of as many deals; signed for *public_url* and now."""
    for number in range(count):
        rows = [_deal_event(number * events + one) for one in range(events)]
        body = json.dumps(rows, separators=(",", ":")).encode()
        stamp = str(int(time.time() * 1000))
        signature = _base64(f"POST{public_url}{HUBSPOT_PATH}".encode() + body + stamp.encode())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/)",
            "X-HubSpot-Signature-v3": signature,
            "X-HubSpot-Request-Timestamp": stamp,
        }
        yield Delivery(HUBSPOT_PATH, headers, body)


def stripe(count: int) -> Iterator[Delivery]:
    """Yield *count* snapshots of a payment intent, one event in each; signed now."""
    for number in range(count):
        body = json.dumps(_stripe_event(number), indent=2).encode()  # the vendor sends them indented
        stamp = str(int(time.time()))
        digest = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": f"t={stamp},v1={digest}",
        }
        yield Delivery(STRIPE_PATH, headers, body)


def _base64(message: bytes) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), message, hashlib.sha256).digest()).decode()


def _order(number: int) -> dict[str, Any]:
    tax = {"title": "VAT", "price": "3.80", "rate": 0.19, "channel_liable": False}
    address = {
        "first_name": "Ada", "last_name": "Lovelace", "name": "Ada Lovelace", "company": None,
        "address1": "12 St James's Square", "address2": None, "city": "London", "zip": "SW1Y 4JH",
        "province": None, "country": "United Kingdom", "country_code": "GB", "phone": None,
    }  # fmt: skip
    lines = [
        {
            "id": 10_000_000_000 + number * 10 + place, "sku": f"MUG-{place}", "title": "Mug with a long handle",
            "name": "Mug with a long handle", "quantity": 2, "current_quantity": 2, "price": "10.00",
            "taxable": True, "requires_shipping": True, "tax_lines": [tax], "discount_allocations": [],
        }
        for place in range(2)
    ]  # fmt: skip
    return {
        "id": 5_000_000_000 + number, "admin_graphql_api_id": f"gid://shopify/Order/{5_000_000_000 + number}",
        "name": f"#{number}", "order_number": number, "currency": "EUR", "test": False, "taxes_included": False,
        "email": f"ada{number}@example.com", "contact_email": f"ada{number}@example.com", "note": None, "phone": None,
        "financial_status": "paid", "fulfillment_status": None, "cancelled_at": None, "po_number": None,
        "created_at": "2026-11-25T11:58:00+00:00", "processed_at": "2026-11-25T11:58:00+00:00",
        "updated_at": "2026-11-25T12:00:00+00:00", "total_price": "47.60", "total_tax": "7.60",
        "current_total_price": "47.60", "current_total_tax": "7.60", "total_outstanding": "0.00",
        "total_tip_received": "0.00", "tags": "", "source_name": "web", "confirmed": True,
        "customer": {
            "id": 7_000_000_000 + number, "email": f"ada{number}@example.com", "first_name": "Ada",
            "last_name": "Lovelace", "phone": None, "state": "disabled", "tags": "",
        },
        "billing_address": address, "shipping_address": address, "line_items": lines, "shipping_lines": [],
        "fulfillments": [], "refunds": [], "metafields": [],
    }  # fmt: skip


def _deal_event(number: int) -> dict[str, Any]:
    return {
        "eventId": 3_000_000_000 + number, "subscriptionId": 1_160_452, "portalId": int(PORTAL), "appId": 39_522_895,
        "occurredAt": 1_764_072_000_000 + number, "subscriptionType": "object.propertyChange", "attemptNumber": 0,
        "objectId": 9_000_000_000 + number, "objectTypeId": "0-3", "propertyName": "dealstage",
        "propertyValue": "closedwon", "changeSource": "CRM_UI",
    }  # fmt: skip


def _stripe_event(number: int) -> dict[str, Any]:
    intent = {
        "id": f"pi_{number:024d}", "object": "payment_intent", "amount": 4760, "amount_capturable": 0,
        "amount_details": {"tip": {}}, "amount_received": 4760, "application": None, "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True}, "canceled_at": None,
        "cancellation_reason": None, "capture_method": "automatic_async", "confirmation_method": "automatic",
        "created": 1_764_072_000, "currency": "eur", "customer": f"cus_{number:014d}", "description": None,
        "last_payment_error": None, "latest_charge": f"ch_{number:024d}", "livemode": False,
        "metadata": {"order_id": str(number)}, "next_action": None, "on_behalf_of": None,
        "payment_method": f"pm_{number:024d}", "payment_method_types": ["card", "link"], "processing": None,
        "receipt_email": f"ada{number}@example.com", "review": None, "setup_future_usage": None, "shipping": None,
        "source": None, "statement_descriptor": None, "status": "succeeded", "transfer_data": None,
        "transfer_group": None,
    }  # fmt: skip
    return {
        "id": f"evt_{number:024d}", "object": "event", "account": STRIPE, "api_version": "2026-10-28.acacia",
        "created": 1_764_072_000, "data": {"object": intent}, "livemode": False, "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None}, "type": "payment_intent.succeeded",
    }  # fmt: skip
