"""Invoices, contacts, parcels and notes written to the simulated Xero, and what the source reads and sweeps there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from app.core.errors import ConflictError, DuplicateError, RejectedError
from app.core.talk import Request
from schemas.events import ChangeEvent, Hint
from schemas.facts import Credit, Customer, Facts, Invoice, Party, Payment, Shipment
from schemas.platform import Effect
from schemas.refs import ObjectRef
from sinks.platforms.xero import XeroSink
from streams.sources.platforms.xero import XeroSource
from tests.platforms.xero.company import ADA, CONNECTION, INVOICE, LINES, NOBODY, TENANT, Company, command, opened

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with opened() as found:
        yield found


async def test_an_invoice_equals_the_order_to_the_cent_and_names_its_parts(company: Company) -> None:
    written = await company.write("upsert_invoice", INVOICE)
    shown = company.books("invoice")[0]
    assert (shown["total"], shown["tax"], shown["status"], shown["number"]) == ("15.53", "1.76", "invoiced", "INV-0001")
    assert shown["mark"] == f"PO 7 [SO-1001] {command('upsert_invoice', INVOICE).mark}"
    assert isinstance(written.facts, Invoice)
    assert (written.facts.po_number, written.facts.reference, written.facts.issue_date) == (
        "PO 7",
        "SO-1001",
        date(2026, 5, 1),
    )
    codes = [line["AccountCode"] for line in company.sandbox.books_of.invoices[written.id]["LineItems"]]
    assert codes == ["200", "210", "200"]


async def test_what_is_written_and_what_is_read_are_the_same_facts(company: Company) -> None:
    written = await company.write("upsert_invoice", INVOICE)
    event = (await company.read("invoice", written.id))[0]
    assert event.facts == written.facts
    assert event.mirror_of == written.mark == command("upsert_invoice", INVOICE).mark
    assert event.anchors == ()


async def test_two_orders_of_one_customer_make_one_contact(company: Company) -> None:
    await company.write("upsert_invoice", INVOICE)
    shouting = msgspec.structs.replace(INVOICE, customer=msgspec.structs.replace(ADA, name="ADA"))
    await company.write("upsert_invoice", shouting, n=2)
    assert len(company.books("customer")) == 1
    assert [request.lock for request in company.requests if request.lock] == ["customer:ada@example.com"]


@pytest.mark.parametrize("name", ["Ada Lovelace", "Ada King"])
async def test_two_orders_of_a_new_customer_at_once_make_one_contact(company: Company, name: str) -> None:
    late = company.sink.contact(msgspec.structs.replace(ADA, name=name))
    request = next(late)
    request = late.send(await company.send(request))
    assert request.method == "PUT", "it looked and found nobody"
    first = await company.write("upsert_customer", Customer(party=ADA))
    request = late.send(await company.send(request))
    with pytest.raises(StopIteration) as done:
        late.send(await company.send(request))
    assert done.value.value.contact_id == first.id
    assert len(company.books("customer")) == 1


async def test_a_name_that_is_taken_twice_is_left_to_a_person(company: Company) -> None:
    for email, name in (("a@example.com", "Ada Lovelace"), ("b@example.com", "Ada Lovelace (ada@example.com)")):
        company.sandbox.books_of.save_contact({"Name": name, "EmailAddress": email}, create=True)
    with pytest.raises(ConflictError, match="tell them apart"):
        await company.write("upsert_customer", Customer(party=ADA))


async def test_another_customer_of_the_same_name_is_another_contact(company: Company) -> None:
    await company.write("upsert_customer", Customer(party=ADA))
    other = await company.write(
        "upsert_customer", Customer(party=Party(name="Ada Lovelace", email="al@example.org")), n=2
    )
    assert isinstance(other.facts, Customer)
    assert other.facts.party.name == "Ada Lovelace (al@example.org)"
    again = await company.write(
        "upsert_customer", Customer(party=Party(name="Ada Lovelace", email="al@example.org")), n=3
    )
    assert again.id == other.id


async def test_a_customer_without_email_is_found_by_name_and_quotes_are_harmless(company: Company) -> None:
    party = Party(name='A "quoted" \\ name')
    first = await company.write("upsert_customer", Customer(party=party))
    assert (await company.write("upsert_customer", Customer(party=party), n=2)).id == first.id
    with pytest.raises(RejectedError, match="fallback_contact"):
        await company.write("upsert_customer", Customer(party=Party()))


async def test_an_archived_contact_is_replaced_and_a_bound_one_is_changed(company: Company) -> None:
    first = await company.write("upsert_customer", Customer(party=ADA))
    company.sandbox.verbs["archive_contact"]({"id": first.id})
    second = await company.write("upsert_customer", Customer(party=ADA), n=2)
    assert second.id != first.id
    named = msgspec.structs.replace(ADA, name="Ada King")
    changed = await company.write("upsert_customer", Customer(party=named), bound_id=second.id)
    assert isinstance(changed.facts, Customer)
    assert changed.facts.party.name == "Ada King"


async def test_a_set_changes_only_what_it_names(company: Company) -> None:
    written = await company.write("upsert_invoice", INVOICE)
    company.requests.clear()
    wish = msgspec.structs.replace(INVOICE, po_number="PO 8", due_date=date(2026, 6, 30))
    changed = await company.write("upsert_invoice", wish, bound_id=written.id, changes=("po_number",))
    assert isinstance(changed.facts, Invoice)
    assert (changed.facts.po_number, changed.facts.reference, changed.facts.due_date) == (
        "PO 8",
        "SO-1001",
        date(2026, 5, 31),
    )
    assert list(company.requests[-1].json["Invoices"][0]) == ["InvoiceID", "Reference"]
    more = msgspec.structs.replace(wish, lines=LINES[:1], payable_amount=Decimal("10.54"))
    changes = ("currency", "due_date", "issue_date", "lines", "payable_amount")
    changed = await company.write("upsert_invoice", more, bound_id=written.id, changes=changes)
    assert isinstance(changed.facts, Invoice)
    assert (changed.facts.payable_amount, changed.facts.due_date) == (Decimal("10.54"), date(2026, 6, 30))
    same = await company.write("upsert_invoice", more, bound_id=written.id, changes=("note",))
    assert same == changed


async def test_a_stranger_with_the_same_words_is_never_overwritten(company: Company) -> None:
    stranger = company.sandbox.verbs["type_invoice"](
        {"customer": "Bo", "reference": "SO-1001", "number": "INV-0001", "lines": [{"title": "x", "price": "1"}]}
    )
    written = await company.write("upsert_invoice", INVOICE)
    assert isinstance(stranger, dict)
    assert written.id != stranger["id"]
    assert sorted(row["number"] for row in company.books("invoice")) == ["INV-0001", "INV-0002"]


async def test_an_unknown_presence_asks_first_and_adopts(company: Company) -> None:
    written = await company.write("upsert_invoice", INVOICE)
    again = await company.write("upsert_invoice", INVOICE, presence="unknown")
    assert again == written
    other = await company.write("upsert_invoice", INVOICE, n=2, presence="unknown")
    assert other.id != written.id
    assert len(company.books("invoice")) == 2


async def test_a_draft_is_deleted_an_approved_invoice_voided_and_a_repeat_is_silent(company: Company) -> None:
    written = await company.write("upsert_invoice", INVOICE)
    for _ in range(2):
        gone = await company.write("void_invoice", INVOICE, links={"invoice": written.id})
        assert isinstance(gone.facts, Invoice)
        assert gone.facts.status == "void"
    draft = company.sandbox.verbs["type_invoice"](
        {"customer": "Bo", "status": "DRAFT", "lines": [{"title": "x", "price": "1"}]}
    )
    assert isinstance(draft, dict)
    gone = await company.write("void_invoice", INVOICE, bound_id=draft["id"])
    assert isinstance(gone.facts, Invoice)
    assert gone.facts.status == "cancelled"


async def test_a_parcel_and_a_note_go_into_the_history_once(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    links = {"invoice": invoice.id}
    parcel = Shipment(carrier="UPS", tracking_numbers=("1Z1", "1Z2"))
    first = [await company.write("record_shipment", parcel, n=2, links=links) for _ in range(2)]
    assert first[0] == first[1]
    assert [row["tracking"] for row in company.books("shipment")] == ["1Z1 1Z2"]
    event = (await company.read("history", first[0].id))[0]
    assert (event.facts, event.mirror_of) == (parcel, first[0].mark)
    assert event.anchors[0].ref.id == invoice.id
    await company.write("add_note", INVOICE, n=3, links=links, text="Call first")
    await company.write("add_note", INVOICE, n=3, links=links, text="Call first")
    texts = [
        record["Details"] for record in company.sandbox.books_of.history[invoice.id] if record["Changes"] == "Note"
    ]
    assert len(texts) == 2
    probed = await company.talk(company.sink.probe(command("record_shipment", parcel, n=2, links=links)))
    assert probed == first[0]
    assert await company.read("history", f"{invoice.id}:nothing") == []


async def test_a_changed_tracking_number_is_a_further_note_and_the_newest_holds(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    parcel, links = Shipment(carrier="UPS", tracking_numbers=("1Z1",)), {"invoice": invoice.id}
    first = await company.write("record_shipment", parcel, n=2, links=links)
    other = msgspec.structs.replace(parcel, tracking_numbers=("1Z2",))
    for facts in (other, other, parcel):
        changed = msgspec.structs.replace(
            command("record_shipment", facts, n=2, bound_id=first.id, changes=("tracking",)), kind="set"
        )
        written = await company.talk(company.sink.write(changed))
        assert (written.id, written.facts) == (first.id, facts)
        assert await company.talk(company.sink.reread(changed)) == written
        assert [event.facts for event in await company.read("history", first.id)] == [facts]
        assert [row["tracking"] for row in company.books("shipment")] == list(facts.tracking_numbers)
    assert sum(note["Changes"] == "Note" for note in company.sandbox.books_of.history[invoice.id]) == 3


async def test_the_customer_hears_only_what_is_asked_for(company: Company) -> None:
    written = await company.write("upsert_invoice", INVOICE)
    assert company.requests[-1].json["Invoices"][0]["SentToContact"] is False
    assert not company.sandbox.books_of.invoices[written.id]["SentToContact"]
    assert company.sink.platform.capabilities["request_payment"] is Effect.CONTACTS_CUSTOMER
    await company.write("request_payment", INVOICE, links={"invoice": written.id})
    assert company.sandbox.books_of.invoices[written.id]["SentToContact"]
    other = await company.write("request_payment", INVOICE, n=2)
    assert company.sandbox.books_of.invoices[other.id]["SentToContact"]


async def test_a_request_that_died_before_the_mail_is_not_done_yet(company: Company) -> None:
    asked = command("request_payment", INVOICE)
    assert await company.talk(company.sink.probe(asked)) is None
    made = await company.write("upsert_invoice", INVOICE)
    begun = await company.talk(company.sink.probe(asked))
    assert begun is not None
    assert (begun.id, begun.complete) == (made.id, False)
    again = await company.write("request_payment", INVOICE, presence="unknown")
    assert [again.id, len(company.books("invoice"))] == [made.id, 1]
    done = await company.talk(company.sink.probe(command("request_payment", INVOICE, links={"invoice": made.id})))
    assert done is not None
    assert done.complete


async def test_a_reread_shows_what_is_there_or_that_nothing_is(company: Company) -> None:
    invoice = await company.write("upsert_invoice", INVOICE)
    links = {"invoice": invoice.id}
    paid = await company.write("record_payment", Payment(amount=Decimal(5), currency="EUR"), n=2, links=links)
    note = await company.write("issue_credit", Credit(amount=Decimal(5), currency="EUR"), n=3, links=links)
    parcel = await company.write("record_shipment", Shipment(carrier="UPS"), n=4, links=links)
    contact = await company.write("upsert_customer", Customer(party=ADA), n=5)
    for capability, n, written in (
        ("upsert_invoice", 1, invoice), ("record_payment", 2, paid), ("issue_credit", 3, note),
        ("record_shipment", 4, parcel), ("upsert_customer", 5, contact),
    ):  # fmt: skip
        shown = await company.talk(company.sink.reread(command(capability, INVOICE, n=n, bound_id=written.id)))
        assert shown is not None
        assert (shown.type, shown.id, shown.mark) == (written.type, written.id, written.mark)
        if capability != "record_shipment":
            gone = "00000000-0000-4000-8000-000000000000"
            assert await company.talk(company.sink.reread(command(capability, INVOICE, bound_id=gone))) is None


@pytest.mark.parametrize(
    "capability",
    [
        "upsert_invoice",
        "record_payment",
        "issue_credit",
        "record_shipment",
        "void_invoice",
        "reverse_payment",
        "upsert_customer",
    ],
)
async def test_a_probe_says_no_before_and_yes_after(company: Company, capability: str) -> None:
    invoice = await company.write("upsert_invoice", INVOICE, n=50)
    paid = await company.write(
        "record_payment", Payment(amount=Decimal(1), currency="EUR"), n=51, links={"invoice": invoice.id}
    )
    other = await company.write("upsert_invoice", INVOICE, n=52)
    facts: Mapping[str, Facts] = {
        "record_payment": Payment(amount=Decimal(5), currency="EUR"),
        "issue_credit": Credit(amount=Decimal(5), currency="EUR"),
        "record_shipment": Shipment(carrier="UPS"),
        "upsert_customer": Customer(party=Party(name="New", email="new@example.com")),
    }
    target = other.id if capability == "void_invoice" else invoice.id
    wanted = command(capability, facts.get(capability, INVOICE), links={"invoice": target, "payment": paid.id})
    assert await company.talk(company.sink.probe(wanted)) is None
    written = await company.talk(company.sink.write(wanted))
    probed = await company.talk(company.sink.probe(wanted))
    assert probed is not None
    assert (probed.type, probed.id, probed.complete) == (written.type, written.id, True)


async def test_a_sweep_brings_everything_once_and_again_only_what_changed(company: Company) -> None:
    for n in range(1, 4):
        await company.write("upsert_invoice", INVOICE, n=n)
    bill = company.sandbox.verbs["type_bill"]({"customer": "Supplier", "lines": [{"title": "x", "price": "9"}]})
    assert isinstance(bill, dict)
    events, cursor = await _swept(company, "invoices", "")
    assert len({event.object.id for event in events}) == 3
    company.sandbox.books_of.clock.now += timedelta(minutes=10)  # type: ignore[attr-defined]
    again, cursor = await _swept(company, "invoices", cursor)
    assert {event.object.id for event in again} == {event.object.id for event in events}, "the overlap is read again"
    company.sandbox.books_of.clock.now += timedelta(minutes=10)  # type: ignore[attr-defined]
    typed = company.sandbox.verbs["type_payment"](
        {"invoice_id": events[0].object.id, "amount": "1", "date": "2026-05-02"}
    )
    assert isinstance(typed, dict)
    changed, _ = await _swept(company, "invoices", cursor)
    assert {event.object.type for event in changed} == {"invoice", "payment"}
    assert {event.object.id for event in changed} == {events[0].object.id, typed["id"]}
    company.sandbox.verbs["delete_payment"]({"id": typed["id"]})
    payments, _ = await _swept(company, "payments", cursor)
    assert [event.facts.status for event in payments if isinstance(event.facts, Payment)] == ["reversed"]


async def _swept(company: Company, name: str, cursor: str) -> tuple[list[ChangeEvent], str]:
    events: list[ChangeEvent] = []
    while True:
        page = await company.talk(company.source.sweep(name, cursor, datetime(2026, 5, 2, tzinfo=UTC)))
        events += page.events
        cursor = page.cursor
        if not page.more:
            assert page.complete_up_to is not None
            return events, cursor


async def test_a_row_that_changes_during_a_sweep_hides_no_other(company: Company) -> None:
    for n in range(605):
        company.sandbox.verbs["type_invoice"](
            {"customer": "Ada", "reference": f"N{n}", "lines": [{"title": "x", "price": "1"}]}
        )
    first = await company.talk(company.source.sweep("invoices", "", datetime(2026, 5, 2, tzinfo=UTC)))
    assert first.more
    seen = {event.object.id for event in first.events}
    company.sandbox.verbs["edit_invoice"]({"id": min(seen), "reference": "moved to the end"})
    rest, _ = await _swept(company, "invoices", first.cursor)
    assert len(seen | {event.object.id for event in rest}) == 605


async def test_every_list_can_be_swept_and_many_are_read_in_one_call(company: Company) -> None:
    ids = [(await company.write("upsert_invoice", INVOICE, n=n)).id for n in (1, 2, 3)]
    for name in company.source.sweeps():
        await _swept(company, name, "")
    company.requests.clear()
    hints = [Hint(tenant="acme", object=ObjectRef("books", TENANT, "invoice", id_)) for id_ in [*ids, NOBODY]]
    events = await company.talk(company.source.read_many(hints))
    assert [event.presence for event in events] == ["present", "present", "present", "deleted"]
    assert len(company.requests) == 2
    assert await company.talk(company.source.read_many(hints[:1])) == events[:1]


async def test_the_company_says_who_it_is_and_what_is_missing(company: Company) -> None:
    company.sandbox.verbs["set_lock_date"]({"date": "2026-04-30"})
    identity = await company.talk(company.source.identify())
    assert (identity.account, identity.lock_date, identity.home_currency, identity.time_zone) == (
        TENANT,
        "2026-04-30",
        "EUR",
        "UTC",
    )
    assert "BRL" in identity.currencies
    assert identity.missing == ()


async def test_the_mappings_are_held_against_the_chart_and_the_tax_rates(company: Company) -> None:
    assert (await company.talk(company.source.setup())).missing == {}
    accounts = {"sales": "999", "payments": "200", "rounding": "860"}
    taxes = {"20": "OUTPUT2", "19": "OUTPUT2", "5": "GONE", "reduced": "RROUTPUT"}
    lacking = XeroSource(msgspec.structs.replace(CONNECTION, accounts=accounts, taxes=taxes))
    missing = (await company.talk(lacking.setup())).missing
    assert list(missing) == ["accounts.sales", "accounts.payments", "taxes.19", "taxes.5"]
    assert all(text.endswith(f"name another under {key}.") for key, text in missing.items())


async def test_the_chart_and_the_tax_rates_are_offered_by_use(company: Company) -> None:
    offers = (await company.talk(company.source.setup())).offers
    assert {key: (len(offer.choices), offer.best) for key, offer in offers.items()} == {
        "accounts.sales": (3, "200"),
        "accounts.payments": (2, "090"),
        "accounts.rounding": (5, "860"),
        "taxes": (7, ""),
    }
    assert {one.value for one in offers["taxes"].choices if one.rate == 20} == {"OUTPUT", "OUTPUT2"}


async def test_a_taken_number_is_a_duplicate(company: Company) -> None:
    company.sandbox.verbs["type_invoice"]({"customer": "Bo", "number": "N-1", "lines": [{"title": "x", "price": "1"}]})
    body = {"Invoices": [{"Type": "ACCREC", "InvoiceNumber": "N-1", "Contact": {"Name": "Bo"}}]}
    request = Request(
        method="PUT",
        path="/Invoices",
        json=body,
        headers={"Accept": "application/json", "xero-tenant-id": TENANT},
        mutates=True,
        step="x",
    )
    reply = await company.send(request)
    assert isinstance(company.sink.classify(reply, mutating=True), DuplicateError)


def test_no_capability_is_left_untested() -> None:
    files = ("test_xero_money.py", "test_xero_roundtrip.py")
    text = "".join(Path(__file__).with_name(file).read_text(encoding="utf-8") for file in files)
    assert all(f'"{capability}"' in text for capability in XeroSink.platform.capabilities)
