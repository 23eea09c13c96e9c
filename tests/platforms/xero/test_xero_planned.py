"""The planner's own commands against the simulated Xero: what is taken back leaves nothing to be said or done."""

from __future__ import annotations

import pytest

from app.render.studio import studio
from tests.platforms.planned import Planned, order, paid

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("status", "made", "back"),
    [
        ("open", {"invoice", "payment", "overpayment"}, ["payment", "refund", "overpayment"]),
        ("cancelled", {"overpayment"}, ["refund", "overpayment"]),
    ],
)
async def test_money_that_counts_no_more_is_taken_back_whole_and_its_echo_is_no_news(
    status: str, made: set[str], back: list[str]
) -> None:
    async with studio("xero") as bench:
        flow = Planned(bench)
        written = await flow.see(order("10.00", status=status), paid("14.00"))
        assert {event.object.type for one in written for event in one.events} == made
        assert flow.findings == ()
        (reversal,) = await flow.see(paid("14.00", 2, "reversed"))
        assert (reversal.capability, reversal.outcome) == ("reverse_payment", "confirmed")
        assert [event.object.type for event in reversal.events] == back
        assert flow.findings == ()
        assert await flow.see(*await flow.swept()) == []
        assert flow.findings == ()
