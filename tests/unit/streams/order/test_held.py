"""What puts an order on hold: money that is asked back, of a type that holds, while nobody has decided."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from schemas.facts import Credit, Payment
from schemas.findings import Finding
from streams.order.derive import Derived, derive
from streams.order.derive.money import holding
from streams.order.world import World
from tests.unit.streams.order.sample import FLOW, PLATFORMS, WORLD
from tests.unit.streams.order.states import giver, look, mark, record, ref, state

HOLDS = msgspec.structs.replace(PLATFORMS["shopp"], holds=frozenset(("dispute",)))
THERE = World(facts=WORLD.facts, platforms={**PLATFORMS, "shopp": HOLDS})
DISPUTE = ref("shop", "dispute", "9")


def asked(status: Any = "pending", **changes: Any) -> Any:
    facts = Credit(document="refund", amount=Decimal(24), currency="EUR", status=status, reason="dispute: fraud")
    return look(facts, **{"object": DISPUTE, **changes})


def of(*parts: Any, there: World = THERE, **facts: Any) -> Derived:
    found = derive(state(giver(**facts), *parts), there)
    assert found is not None
    return found


def test_it_is_on_hold_and_says_why() -> None:
    found = of(asked())
    assert found.public.life_cycle == "on_hold"
    assert [one for one in found.public.findings if one.code == "disputed"] == [
        Finding(
            "disputed",
            "warn",
            "24 EUR (dispute: fraud) is asked back by shop@s/dispute/9; the order is on hold until that is decided.",
            "shop@s/dispute/9",
            "answer it in shop",
        )
    ]


@pytest.mark.parametrize(
    "part",
    [
        *(asked(status) for status in ("issued", "void", "failed", "draft")),
        asked(object=ref("shop", "credit", "9")),
        asked(object=ref("crm", "dispute", "9")),
        asked(object=ref("nobody", "dispute", "9")),
        asked(presence="deleted"),
        asked(share="0"),
        asked(mirror_of=mark()),
        look(Payment(amount=Decimal(24), currency="EUR", status="pending"), object=DISPUTE),
    ],
)
def test_whatever_is_none_holds_nothing(part: Any) -> None:
    found = of(part)
    assert found.public.life_cycle == "open"
    assert [one.code for one in found.public.findings if one.code == "disputed"] == []


def test_several_hold_until_the_last_is_decided() -> None:
    other = asked(object=ref("shop", "dispute", "8"))
    known = state(giver(), asked(), other)
    assert [one.object.id for one in holding(known, FLOW, THERE)] == ["8", "9"]
    assert of(asked("void"), other).public.life_cycle == "on_hold"


def test_a_system_whose_money_is_not_heard_holds_nothing() -> None:
    deaf = msgspec.structs.replace(FLOW, payments_from=("books",))
    there = asked(object=ref("crm", "dispute", "9"))
    holds = World(facts=WORLD.facts, platforms={**PLATFORMS, "crmm": msgspec.structs.replace(HOLDS, slug="crmm")})
    assert holding(state(giver(), there), deaf, holds) == []
    assert len(holding(state(giver(), there), FLOW, holds)) == 1


def test_one_of_ours_holds_nothing() -> None:
    bound = record("shop|refund|x", DISPUTE, capability="record_refund")
    assert holding(state(giver(), asked(), bound), FLOW, THERE) == []
