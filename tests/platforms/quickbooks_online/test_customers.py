"""Whom a document is for: found, made or told apart, run against the sandbox."""

from __future__ import annotations

import msgspec
import pytest

from app.core.talk import Response
from app.sandbox.platforms.quickbooks_online import QuickbooksOnlineSandbox
from schemas.facts import Customer, Party
from tests.platforms.conversation import answer
from tests.platforms.quickbooks_online.rig import ADA, Rig, billed, command, invoice, refusal

pytestmark = pytest.mark.sandbox


async def test_two_orders_of_one_buyer_make_one_customer(rig: Rig) -> None:
    await billed(rig)
    await rig.write(command("upsert_invoice", invoice(), order="1002"))
    assert [row["customer"] for row in rig.books("customer")] == ["Ada Lovelace"]


async def test_another_person_of_that_name_gets_a_name_of_his_own(rig: Rig) -> None:
    await billed(rig)
    twin = Party(name="Ada: Lovelace", email="other@example.com")
    await rig.write(command("upsert_invoice", invoice(customer=twin), order="1002"))
    await rig.write(command("upsert_invoice", invoice(customer=twin), order="1003"))
    assert sorted(row["customer"] for row in rig.books("customer")) == [
        "Ada Lovelace",
        "Ada Lovelace (other@example.com)",
    ]


async def test_a_second_currency_needs_a_second_card(rig: Rig) -> None:
    await billed(rig)
    await rig.write(command("upsert_invoice", invoice(currency="USD"), order="1002"))
    await rig.write(command("upsert_invoice", invoice(currency="USD"), order="1003"))
    cards = {(row["customer"], row["currency"]) for row in rig.books("customer")}
    assert len(cards) == 2
    assert {currency for _, currency in cards} == {"EUR", "USD"}


async def test_an_archived_customer_is_not_billed(rig: Rig) -> None:
    await billed(rig)
    (card,) = rig.books("customer")
    rig.sandbox.verbs["archive_customer"]({"id": card["id"]})
    await rig.write(command("upsert_invoice", invoice(), order="1002"))
    assert len(rig.books("customer")) == 2


def test_a_name_that_a_vendor_has_leads_to_the_next_name() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    nobody = Response(status=200, body=b'{"QueryResponse":{}}')
    made = Response(status=200, body=b'{"Customer":{"Id":"5","DisplayName":"Ada Lovelace (ada@example.com)"}}')
    taken = Response(status=400, body=refusal("6240"))
    requests, row = answer(sink.customer(ADA, "EUR"), nobody, taken, nobody, made)
    assert row["Id"] == "5"
    names = [request.json["DisplayName"] for request in requests if request.mutates]
    assert names == ["Ada Lovelace", "Ada Lovelace (ada@example.com)"]


def test_a_customer_whom_somebody_else_made_meanwhile_is_taken() -> None:
    sink = Rig(QuickbooksOnlineSandbox("310687"), "").sink
    taken = Response(status=400, body=refusal("6240"))
    card = b'{"QueryResponse":{"Customer":[{"Id":"5","DisplayName":"Ada Lovelace","PrimaryEmailAddr":{"Address":"ADA@example.com"}}]}}'
    nobody = Response(status=200, body=b'{"QueryResponse":{}}')
    _, row = answer(sink.customer(ADA, "EUR"), nobody, taken, Response(status=200, body=card))
    assert row["Id"] == "5"


async def test_quotes_in_names_are_escaped(rig: Rig) -> None:
    for order in ("1", "2"):
        await rig.write(command("upsert_invoice", invoice(customer=Party(name="Pat O'Hara \\ Co")), order=order))
    assert [row["customer"] for row in rig.books("customer")] == ["Pat O'Hara \\ Co"]


async def test_a_customer_is_made_found_and_changed(rig: Rig) -> None:
    asked = command("upsert_customer", Customer(party=ADA))
    made = await rig.write(asked)
    assert (await rig.run(rig.sink.probe(asked))) is not None
    renamed = msgspec.structs.replace(ADA, phone="123")
    changed = command("upsert_customer", Customer(party=renamed), kind="set", bound_id=made.id, changes=("phone",))
    written = await rig.run(rig.sink.write(changed), "set-1")
    assert isinstance(written.facts, Customer)
    assert (written.facts.party.phone, written.facts.party.email) == ("123", "ada@example.com")
