"""Messages of the link table: who belongs to which order.

Every row has a text key. An *object home* (the object's own key) keeps the newest look at an object that cannot name
its order, and the answers of its anchors. An *anchor home* (an object's key or "number/<tenant>/<number>") knows the
order that bound it and who asked.
A row "alike/<tenant>/<digest>" knows the newest orders of one customer and the same goods.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from schemas.events import ChangeEvent
from schemas.facts import Instant
from schemas.refs import ObjectRef

FORMAT = 1
"""The highest format of a row that this version knows: who reads a higher one stops rather than rewrite it."""


class Bind(msgspec.Struct, frozen=True, tag="bind", omit_defaults=True, kw_only=True):
    """An order says: this object or number is mine. The highest `version` counts; an empty order unbinds."""

    key: str
    order: str
    version: int = 1


class Ask(msgspec.Struct, frozen=True, tag="ask", kw_only=True):
    """An object asks an anchor which order it belongs to, now and whenever that changes."""

    key: str
    asker: str


class Answer(msgspec.Struct, frozen=True, tag="answer", omit_defaults=True, kw_only=True):
    """An anchor answers its asker; an empty order means none so far."""

    key: str
    anchor: str
    order: str = ""
    version: int = 0


class Place(msgspec.Struct, frozen=True, tag="place", omit_defaults=True, kw_only=True):
    """A look at an object arrives at its home."""

    key: str
    event: ChangeEvent
    alone: str = ""
    """The order that the object makes by itself when no anchor knows one (an accounting entry without an order)."""


class Say(msgspec.Struct, frozen=True, tag="say", omit_defaults=True, kw_only=True):
    """A person says of an object, to its home: it is `order`'s, it is nobody's, or look again. The newest word counts.

    What the systems themselves say stands above it: an anchor that knows an order decides, then as later.
    """

    key: str
    word: Literal["link", "dismiss", "release"]
    order: str = ""
    at: Instant
    by: str = ""


class Looks(msgspec.Struct, frozen=True):
    """An order as others may resemble it."""

    number: str
    placed_at: Instant


class Resemble(msgspec.Struct, frozen=True, tag="resemble", kw_only=True):
    """An order says, to the row of its customer and goods, that it was placed."""

    key: str
    tenant: str
    order: str
    looks: Looks


ALIKE = b"alike"
"""Names an `Alike` in the header `o2c-kind`."""


class Alike(msgspec.Struct, frozen=True, kw_only=True):
    """Orders that look like *order* (value on `order-facts`, keyed by it): their keys and numbers."""

    order: str
    tenant: str
    others: dict[str, str]


LinkMessage = Bind | Ask | Answer | Place | Say | Resemble


class LinkRow(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One row: the two homes share a table, since an object is often an anchor too."""

    key: str
    format: int = 1
    order: str = ""
    version: int = 0
    askers: tuple[str, ...] = ()
    event: ChangeEvent | None = None
    answers: dict[str, Answer] = {}
    """Anchor key -> its newest answer."""
    shares: dict[str, str] = {}
    """Order -> share that was sent to it last ("" = all, "0" = moved away)."""
    share_version: int = 0
    waiting_since: Instant | None = None
    asked_source: bool = False
    listed: bool = False
    """On the list of what waits for a person."""
    alone: str = ""
    said: Say | None = None
    """What a person said last."""
    alike: dict[str, Looks] = {}
    """The newest orders of one customer and the same goods."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of an object with the share that belongs to one order (value on `order-facts`, keyed by order)."""

    order: str
    event: ChangeEvent
    share: str | None = None
    share_version: int = 0


class Parked(msgspec.Struct, frozen=True, kw_only=True):
    """An object that no anchor could place, or that may bill its order or not: listed for a person."""

    object: ObjectRef
    tenant: str
    anchors: tuple[str, ...]
    since: Instant
    order: str = ""
    """The order that the document names, where it is a document; a decision `adopt` or `disown` says the rest."""
