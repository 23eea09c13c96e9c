"""Companies of buyers in a simulated portal: one each, never overwritten, and only where they are wanted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hubspot import HubSpot
from msgspec import structs

from app.sandbox.platforms.hubspot import model
from schemas.facts import Customer, Party
from sinks.base import Written
from tests.platforms.hubspot.desk import ADA, KINDS, ORDER, Desk, command_of, desks
from tests.platforms.hubspot.many import crashed, order_of, send_many

pytestmark = pytest.mark.sandbox
LOVELACE = structs.replace(ADA, name="Lovelace Ltd", tax_id="GB123456789")
ACME = Party(name="Acme GmbH", email="office@acme.example", tax_id="DE129273398")


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


def companies(desk: Desk) -> dict[str, str | None]:
    return {id_: record.values.get("name") for id_, record in desk.sandbox.portal.records["companies"].items()}


def of(desk: Desk, kind: str, id_: str) -> list[str | None]:
    """Return the names of the companies that a record is associated with."""
    portal = desk.sandbox.portal
    names = companies(desk)
    return [names[one] for one in portal.linked(portal.records[kind][id_], model.BY_NAME["companies"])]


@KINDS
async def test_an_order_and_its_buyer_get_the_company_once(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind, companies="yes")
    for mark in (1, 2, 1):
        made = await desk.write(command_of("upsert_order", structs.replace(ORDER, customer=LOVELACE), mark))
        assert of(desk, kind, made.id) == ["Lovelace Ltd"]
        assert of(desk, "contacts", made.facts.customer.id) == ["Lovelace Ltd"]
    assert list(companies(desk).values()) == ["Lovelace Ltd"]


@pytest.mark.parametrize("options", [{}, {"companies": "no"}])
async def test_no_company_is_made_where_nobody_asked_for_it(options: dict[str, str], open_desk: Any) -> None:
    desk = await open_desk(**options)
    await desk.write(command_of("upsert_order", structs.replace(ORDER, customer=LOVELACE)))
    await send_many(desk, [order_of(number, customer=LOVELACE) for number in range(2)])
    await desk.write(command_of("upsert_customer", Customer(party=ACME), 5))
    assert companies(desk) == {}
    assert not any("companies" in call for call in desk.calls)


async def test_a_person_has_none_and_who_has_a_tax_number_is_one(open_desk: Any) -> None:
    desk = await open_desk(companies="yes")
    await desk.write(command_of("upsert_order", ORDER))
    assert companies(desk) == {}
    made = await desk.write(command_of("upsert_customer", Customer(party=ACME), 5))
    assert of(desk, "contacts", made.id) == ["Acme GmbH"]
    again = await desk.write(command_of("upsert_customer", Customer(party=ACME), 6))
    assert (again.id, list(companies(desk).values())) == (made.id, ["Acme GmbH"])


async def test_what_people_made_of_a_company_stays(open_desk: Any) -> None:
    desk = await open_desk(companies="yes")
    await desk.write(command_of("upsert_order", structs.replace(ORDER, customer=LOVELACE)))
    (record,) = desk.sandbox.portal.records["companies"].values()
    desk.sandbox.portal.update(record, {"name": "Lovelace & Daughters"}, "CRM_UI")
    other = structs.replace(ORDER, customer=structs.replace(LOVELACE, name="LOVELACE", tax_id="gb 123 456789"))
    made = await desk.write(command_of("upsert_order", other, 2))
    assert of(desk, "deals", made.id) == ["Lovelace & Daughters"]


async def test_the_companies_of_fifty_orders_take_a_few_calls(open_desk: Any) -> None:
    desk = await open_desk(companies="yes")
    buyers = [Party(name=f"Firm {n % 7}", email=f"b{n}@example.com", tax_id=f"DE{n % 7}") for n in range(50)]
    written = await send_many(desk, [order_of(number, customer=buyer) for number, buyer in enumerate(buyers)])
    assert all(isinstance(one, Written) for one in written)
    calls = Counter(call for call in desk.calls if "companies" in call)
    assert (
        calls.pop("POST /crm/v3/objects/companies/batch/upsert") == 2
    )  # the first is refused: no property of ours yet
    assert sum(calls.values()) <= 7
    assert sorted(name or "" for name in companies(desk).values()) == [f"Firm {n}" for n in range(7)]
    for number, one in enumerate(written):
        assert of(desk, "deals", one.id) == of(desk, "contacts", one.facts.customer.id) == [f"Firm {number % 7}"]


async def test_a_crash_after_any_call_makes_no_company_twice(open_desk: Any) -> None:
    for after in range(1, 60):
        desk = await open_desk(companies="yes")
        orders = [order_of(number, customer=LOVELACE) for number in range(2)]
        ended = await crashed(desk, desk.sink.write_many(orders), after)
        written = await send_many(desk, orders)
        assert list(companies(desk).values()) == ["Lovelace Ltd"]
        assert [of(desk, "deals", one.id) for one in written] == [["Lovelace Ltd"]] * 2
        assert [of(desk, "contacts", one.facts.customer.id) for one in written] == [["Lovelace Ltd"]] * 2
        if ended:
            return
    pytest.fail("The talk never came to its end.")


async def test_the_vendors_client_sees_the_company_of_an_order(open_desk: Any) -> None:
    desk = await open_desk(companies="yes")
    made = await desk.write(command_of("upsert_order", structs.replace(ORDER, customer=LOVELACE)))

    def look() -> tuple[str, str]:
        client = HubSpot(access_token="pat-made-up", host=desk.url)
        (end,) = client.crm.associations.v4.basic_api.get_page("deals", made.id, "companies").results
        company = client.crm.companies.basic_api.get_by_id(end.to_object_id, properties=["name", "o2c_mark"])
        return company.properties["name"], company.properties["o2c_mark"]

    assert await asyncio.to_thread(look) == ("Lovelace Ltd", "company/gb123456789")
