"""Names of things: objects in systems, orders, writes and the mark that our writes carry."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

import msgspec

NAMESPACE = UUID("6f3c9c1e-0f5b-5d0a-9a53-0b9e4c1d7a10")
_SPACE = NAMESPACE.bytes
_MARK = "o2c1:"
_VARIANT = {f"{digit:x}": f"{8 | digit & 3:x}" for digit in range(16)}
"""A digit -> what it is in the place where RFC 9562 keeps the variant."""
_ORDER_DIGITS = 32
WRITE_DIGITS = 12
"""How much of a write's id a mark carries."""


class ObjectRef(msgspec.Struct, frozen=True, order=True):
    """One object as one system knows it.

    `account` is what the platform calls the company (shop, realm, organisation, portal); it is part of the
    identity, so that another company behind the same connection is never mistaken for this one.
    """

    connection: str
    account: str
    type: str
    id: str

    @property
    def key(self) -> str:
        """Return the text form used as a map key and for partitioning."""
        return f"{self.connection}@{self.account}/{self.type}/{self.id}"


def _named(name: str) -> str:
    """Return the hex digits of `uuid5(NAMESPACE, name)`, without the object that it would be: a third of the time."""
    digits = hashlib.sha1(_SPACE + name.encode(), usedforsecurity=False).hexdigest()
    return f"{digits[:12]}5{digits[13:16]}{_VARIANT[digits[16]]}{digits[17:32]}"


@lru_cache(maxsize=8192)
def order_key(tenant: str, ref: ObjectRef) -> str:
    """Return the key of the order whose first key-giver is *ref*: deterministic, 32 hex digits."""
    return _named(f"order|{tenant}|{ref.key}")


def write_id(connection: str, account: str, operation: str, canonical: str, generation: int) -> str:
    """Return the id under which the journal decides whether a create or an append was done.

    No state version is part of it: a replay, a later state and another worker arrive at the same id.
    """
    return _named(f"write|{connection}|{account}|{operation}|{canonical}|{generation}")


def set_id(connection: str, account: str, entity: str, operation: str, base: str, desired: str) -> str:
    """Return the id of a write that sets fields: the same wish on the same base has the same id."""
    return _named(f"set|{connection}|{account}|{entity}|{operation}|{base}|{desired}")


class Mark(NamedTuple):
    """What an object of ours says about itself: the order and the (shortened) write that made it."""

    order: str
    write: str

    def __str__(self) -> str:
        return f"{_MARK}{self.order}:{self.write}"


def mark_of(order: str, write: str) -> str:
    """Return the text that the created object carries in the platform's reference field (50 characters)."""
    return f"{_MARK}{order}:{write[:WRITE_DIGITS]}"


def find_mark(text: str | None) -> str | None:
    """Return the first mark inside *text*, or None; people may have typed around it."""
    if not text:
        return None
    start = text.find(_MARK)
    while start >= 0:
        candidate = text[start : start + len(_MARK) + _ORDER_DIGITS + 1 + WRITE_DIGITS]
        if read_mark(candidate):
            return candidate
        start = text.find(_MARK, start + 1)
    return None


@lru_cache(maxsize=8192)
def read_mark(text: str | None) -> Mark | None:
    """Return the parts of a mark, or None when *text* is not exactly one."""
    if not text or not text.startswith(_MARK):
        return None
    order, colon, write = text[len(_MARK) :].partition(":")
    sound = colon and len(order) == _ORDER_DIGITS and len(write) == WRITE_DIGITS
    return Mark(order, write) if sound and _hex(order) and _hex(write) else None


def _hex(text: str) -> bool:
    return _VARIANT.keys() >= set(text)
