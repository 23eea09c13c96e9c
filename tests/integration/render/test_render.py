"""`o2c render`: what leaves for an order, as the pure core plans it and the connectors send it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app import platforms
from app.cli import main
from app.demo.stack import SYSTEMS
from app.render.order import default_target

pytestmark = pytest.mark.sandbox
SLUGS = [slug for slug in platforms.slugs() if platforms.load(slug).platform.capabilities]
LINE = {
    "id": "1", "sku": "MUG", "name": "Blue mug", "quantity": "2", "unit_price": "10.00",
    "net_amount": "20.00", "tax_amount": "4.00", "tax_rate": "20",
}  # fmt: skip
ORDER = {
    "number": "SO-1001", "currency": "EUR", "placed_at": "2026-11-25T10:00:00Z", "payable_amount": "24.00",
    "tax_amount": "4.00", "customer": {"name": "Ada Example", "email": "ada@example.com"}, "lines": [LINE],
}  # fmt: skip
PAYMENT = {
    "type": "payment",
    "amount": "24.00",
    "currency": "EUR",
    "paid_at": "2026-11-26T10:00:00Z",
    "reference": "ch_1",
}


def _render(
    path: Path, capsys: pytest.CaptureFixture[str], slug: str, *lines: dict[str, Any], allow: tuple[str, ...] = ()
) -> tuple[int, list[dict[str, Any]], str]:
    path.write_text("\n".join(json.dumps(line) for line in lines))
    extra = [word for name in allow for word in ("--allow", name)]
    code = main(["render", "--platform", slug, "--json", *extra, str(path)])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


@pytest.mark.parametrize("slug", SLUGS)
def test_every_platform_is_sent_its_default_target(
    slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, sent, err = _render(tmp_path / "order.json", capsys, slug, ORDER)
    assert (code, err) == (0, "")
    target = default_target(platforms.load(slug).platform, "x")
    assert {request["capability"] for request in sent} == {"upsert_order" if target.order else "upsert_invoice"}
    assert any(request["mutates"] and request["status"] < 300 for request in sent)
    assert all(
        set(request) == {"capability", "method", "path", "mutates", "headers", "body", "status"} for request in sent
    )
    assert all(request["path"].startswith("/") for request in sent)


@pytest.mark.parametrize("slug", SLUGS)
def test_no_secret_is_shown(slug: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, sent, _ = _render(tmp_path / "order.json", capsys, slug, ORDER)
    secrets = next(system.secrets for system in SYSTEMS if system.platform == slug)
    shown = json.dumps(sent)
    assert not [name for name, secret in secrets.items() if secret in shown]
    header = platforms.load(slug).platform.auth.header.lower()
    assert all(header not in {name.lower() for name in request["headers"]} for request in sent)


def test_payments_follow_once_their_document_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, sent, _ = _render(tmp_path / "order.jsonl", capsys, "xero", ORDER, PAYMENT)
    assert code == 0
    written = [(request["capability"], request["path"]) for request in sent if request["mutates"]]
    assert written[-2:] == [
        ("upsert_invoice", "/api.xro/2.0/Invoices?unitdp=4&summarizeErrors=false"),
        ("record_payment", "/api.xro/2.0/Payments?summarizeErrors=false"),
    ]
    (payment,) = sent[-1]["body"]["Payments"]
    assert (payment["Amount"], payment["Date"], payment["Account"]) == (24.0, "2026-11-26", {"Code": "090"})


def test_what_parse_prints_of_a_webhook_can_be_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    item = {"id": 11, "sku": "MUG", "title": "Mug", "quantity": 2, "current_quantity": 2, "price": "10.00"}
    hook = {
        "id": 100, "name": "#1001", "currency": "EUR", "financial_status": "paid", "total_price": "24.00",
        "total_tax": "4.00", "created_at": "2026-11-22T12:00:00+01:00", "updated_at": "2026-11-22T12:00:00+01:00",
        "line_items": [{**item, "tax_lines": [{"rate": 0.2, "price": "4.00"}]}],
        "refunds": [], "fulfillments": [{"id": 9, "status": "success", "tracking_number": "1Z"}],
    }  # fmt: skip
    (tmp_path / "hook.json").write_text(json.dumps(hook))
    (tmp_path / "headers.json").write_text('{"X-Shopify-Topic": "orders/updated"}')
    words = ["--headers", str(tmp_path / "headers.json"), "--account", "a.myshopify.com", str(tmp_path / "hook.json")]
    assert main(["parse", "--platform", "shopify", *words]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["kind"] for line in lines} == {"event", "hint"}
    code, sent, err = _render(tmp_path / "events.jsonl", capsys, "quickbooks_online", *lines)
    assert (code, err) == (0, "")
    assert [request["capability"] for request in sent if request["mutates"]][-2:] == [
        "upsert_invoice",
        "record_shipment",
    ]


def test_the_mappings_of_a_connection_are_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "o2c.toml"
    config.write_text(
        '[[tenant]]\nname = "acme"\n[tenant.connections.books]\nplatform = "xero"\naccount = "org-1"\n'
        'accounts = { sales = "210" }\ntaxes = { "20" = "OUTPUT2" }\n'
    )
    (tmp_path / "order.json").write_text(json.dumps(ORDER))
    words = ["render", "--platform", "xero", "--config", str(config), str(tmp_path / "order.json")]
    assert main([*words, "--connection", "books"]) == 0
    sent = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (line,) = sent[-1]["body"]["Invoices"][0]["LineItems"]
    assert (line["AccountCode"], line["TaxType"]) == ("210", "OUTPUT2")
    assert main([*words, "--connection", "shop"]) == 2
    assert "has no connection shop of xero; it has books." in capsys.readouterr().err


def test_a_refused_write_says_why_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {**LINE, "tax_rate": "20", "net_amount": "20.005", "unit_price": "10.0025"}
    order = {**ORDER, "lines": [bad], "payable_amount": "24.005"}
    code, _, err = _render(tmp_path / "order.json", capsys, "xero", order)
    assert code == 1
    assert "upsert_invoice is rejected: Xero keeps two decimals" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"currency": 5}', "Line 1 is neither facts nor a change event"),
        (b'{"number": "1"}\n{"type": "payment"}', "Line 2 is neither"),
        (json.dumps(PAYMENT).encode(), "There is no order"),
        (b"\xff\xfe", "Line 1 is neither"),
    ],
)
def test_a_file_without_an_order_tells_what_is_wrong(
    text: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "order.json"
    path.write_bytes(text)
    assert main(["render", "--platform", "xero", str(path)]) == 1
    assert said in capsys.readouterr().err


def test_an_unknown_platform_or_capability_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "order.json"
    assert _render(path, capsys, "xerro", ORDER)[0] == 2
    assert _render(path, capsys, "external", ORDER)[0] == 2
    code, _, err = _render(path, capsys, "xero", ORDER, allow=("pay",))
    assert (code, "it can add_note" in err) == (2, True)
