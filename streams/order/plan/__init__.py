"""Commands are desired minus known: silence where nothing is missing."""

from streams.order.plan.plan import Planned, desks, plan
from streams.order.plan.whole import plan_all

__all__ = ["Planned", "desks", "plan", "plan_all"]
