"""What is said at run time, laid over the configured world."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from schemas.broadcast import Fact
from schemas.flow import NOT_BEGUN
from streams.order.world import World
from streams.processors.world import Worlds
from tests.unit.streams.order.sample import NOW, WORLD

LATER = NOW + timedelta(days=1)


def told(configured: World, *facts: Fact) -> World:
    return Worlds(configured).now({fact.key: msgspec.json.encode(fact) for fact in facts})


def starting(**starts: datetime) -> World:
    return msgspec.structs.replace(WORLD, facts=msgspec.structs.replace(WORLD.facts, starts=starts))


def begun(subject: str, moment: datetime = NOW) -> Fact:
    return Fact(kind="start", subject=subject, value=moment.isoformat())


def test_a_connection_begins_when_a_connector_said_so() -> None:
    world = told(starting(shop=NOT_BEGUN), begun("shop@s"))
    assert world.facts.starts == {"shop": NOW}


@pytest.mark.parametrize(
    ("starts", "fact"),
    [
        ({"shop": NOT_BEGUN}, begun("shop@another account")),
        ({"shop": NOT_BEGUN}, begun("shop")),
        ({"shop": NOT_BEGUN}, Fact(kind="start", subject="shop@s", value="soon")),
        ({"shop": NOT_BEGUN}, Fact(kind="start", subject="shop@s", value="2026-03-01T12:00:00")),
        ({"shop": LATER}, begun("shop@s")),
        ({}, begun("shop@s")),
    ],
)
def test_another_account_an_unreadable_moment_or_a_configured_start_changes_nothing(
    starts: dict[str, datetime], fact: Fact
) -> None:
    assert told(starting(**starts), fact).facts.starts == starts


def test_an_account_was_looked_at_once_a_connector_said_when_it_began() -> None:
    known = msgspec.structs.replace(WORLD.facts, unseen=frozenset(("shop", "books")))
    world = msgspec.structs.replace(WORLD, facts=known)
    assert told(world, begun("shop@s"), begun("books@another account")).facts.unseen == {"books"}
    assert told(WORLD).facts.unseen == set()


def test_a_backfill_is_asked_for_flow_by_flow() -> None:
    fact = Fact(kind="backfill", subject="main", value="0001-01-01T00:00:00+00:00")
    assert told(WORLD, fact).facts.backfills == {"main": datetime.min.replace(tzinfo=UTC)}
    assert told(WORLD).facts.backfills == {}
