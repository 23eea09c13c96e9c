"""What follows from a frozen value, alone or with a few others, found at its first use and kept with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_SLOTS = 16
"""So many findings are kept with one value: facts of an order have about five."""


class once(Generic[_T_co]):  # noqa: N801  # used as a decorator, named like one
    """`functools.cached_property` without its lock, which Python 3.11 takes at each first use: a tenth of a step."""

    def __init__(self, find: Callable[[Any], _T_co]) -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> once[_T_co]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> _T_co: ...
    def __get__(self, instance: object | None, owner: type) -> once[_T_co] | _T_co:
        """Return what was found; afterwards the instance's own dictionary answers, without a call."""
        if instance is None:
            return self
        found = instance.__dict__[self._name] = self._find(instance)
        return found


def kept(find: Callable[..., _T], of: object, *given: object) -> _T:
    """Return `find(of, *given)`, which is kept with *of*: it follows from these values alone, and they never change.

    *given* are equal only where they are written alike: texts, days and counts, amounts only to compare with.
    """
    slots = of.__dict__.setdefault("kept", {})
    asked = (find, *given)
    if asked not in slots:
        if len(slots) == _SLOTS:
            slots.clear()
        slots[asked] = find(of, *given)
    found: _T = slots[asked]
    return found
