"""Decoded states, kept beside the bytes they come from: an order that is busy is not decoded each time."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class Hot(Generic[T]):
    """The states used last, as many as *limit* encoded bytes hold.

    One is found only under the very bytes that are stored now: what a batch left here that was given up, or an owner
    before wrote since, is never taken for the state. So nothing has to be told what became of a batch.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[bytes, tuple[bytes, T]] = OrderedDict()
        self._size = 0

    def get(self, key: bytes, stored: bytes) -> T | None:
        """Return what *stored* decodes to, if it is held."""
        held = self._held.get(key)
        if held is None or held[0] != stored:
            return None
        self._held.move_to_end(key)
        return held[1]

    def put(self, key: bytes, encoded: bytes, state: T) -> None:
        """Hold *state*, whose bytes are *encoded*; what was used longest ago makes room."""
        before = self._held.pop(key, None)
        self._size += len(encoded) - (0 if before is None else len(before[0]))
        self._held[key] = (encoded, state)
        while self._size > self._limit:
            _, (oldest, _) = self._held.popitem(last=False)
            self._size -= len(oldest)
