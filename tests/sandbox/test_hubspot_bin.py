"""What comes back from the bin, and who is forgotten for good."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from app.sandbox.base import ActError
from schemas.events import RECHECK
from streams.sources.base import Hook
from tests.platforms.hubspot.desk import KINDS, ORDER, Desk, command_of, desks

pytestmark = pytest.mark.sandbox


@pytest.fixture
async def open_desk(root: Path) -> AsyncIterator[Callable[..., Any]]:
    async with desks(root) as start:
        yield start


async def _heard(desk: Desk, act: str, **asked: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return what is told of a person's act, and what reading it shows."""
    told: list[dict[str, Any]] = []
    desk.sandbox.emit = lambda event, **_: told.append(json.loads(event))  # type: ignore[method-assign]  # nobody else
    desk.sandbox.verbs[act](asked)
    hints = desk.source.hints(Hook(body=json.dumps(told).encode()))
    events = [event for hint in hints for event in await desk.converse(desk.source.read(hint))]
    types = [event["subscriptionType"].partition(".")[2] for event in told]
    return types, [(event.object.id, event.presence) for event in events]


@KINDS
async def test_an_order_that_a_person_restores_is_there_again(kind: str, open_desk: Any) -> None:
    desk = await open_desk(order_object=kind)
    written = await desk.write(command_of("upsert_order", ORDER))
    assert await _heard(desk, "delete_deal", id=written.id) == (["deletion"], [(written.id, "deleted")])
    assert await _heard(desk, "restore", id=written.id) == (["restore"], [(written.id, "present")])
    (event,) = await desk.read(kind, written.id)
    assert (event.facts, event.mirror_of) == (written.facts, written.mark)
    with pytest.raises(ActError, match="in the bin"):
        desk.sandbox.verbs["restore"]({"id": written.id})


async def test_a_value_that_somebody_has_now_keeps_a_record_in_the_bin(open_desk: Any) -> None:
    desk = await open_desk()
    written = await desk.write(command_of("upsert_order", ORDER))
    desk.sandbox.verbs["delete_deal"]({"id": written.id})
    again = await desk.write(command_of("upsert_order", ORDER))
    assert again.id != written.id
    with pytest.raises(ActError, match="already has that value"):
        desk.sandbox.verbs["restore"]({"id": written.id})


async def test_a_contact_who_is_forgotten_is_told_and_gone(open_desk: Any) -> None:
    desk = await open_desk()
    written = await desk.write(command_of("upsert_order", ORDER))
    contact = written.facts.customer.id
    told = await _heard(desk, "forget_contact", email="ada@example.com")
    assert told == (["privacyDeletion"], [(contact, "deleted")])
    (event,) = await desk.read("deals", written.id)
    assert event.facts.customer is None


async def test_a_merge_that_nobody_told_shows_when_the_old_deals_are_read_again(open_desk: Any) -> None:
    desk = await open_desk()
    desk.sandbox.portal.follows = True
    asked = {"amount": "5.00", "currency": "EUR"}
    one, two, other = (desk.sandbox.verbs["create_deal"]({"name": name, **asked})["id"] for name in "ABC")
    merged = desk.sandbox.verbs["merge_deals"]({"id": one, "other": two})["id"]
    desk.sandbox.verbs["delete_deal"]({"id": other})
    hints = [replace(desk.hint("deals", id_), reason=RECHECK) for id_ in (one, two, other)]
    events = await desk.converse(desk.source.read_many(hints))
    told = {event.object.id: (event.presence, event.facts and event.facts.merged_into) for event in events}
    assert told == {
        one: ("deleted", merged),
        two: ("deleted", merged),
        other: ("deleted", None),
        merged: ("present", ""),
    }
    assert len(events) == 4
