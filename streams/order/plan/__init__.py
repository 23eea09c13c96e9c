"""Commands are desired minus known: silence where nothing is missing."""

from streams.order.plan.plan import Planned, desks, plan

__all__ = ["Planned", "desks", "plan"]
