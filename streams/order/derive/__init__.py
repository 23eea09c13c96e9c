"""From observations to the agreed order: pure, no clock, nothing stored."""

from streams.order.derive.derive import Derived, derive

__all__ = ["Derived", "derive"]
