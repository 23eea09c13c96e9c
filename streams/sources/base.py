"""A source answers questions about one platform: what came in, what must be read, what changed since."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from app.core.talk import Talk
from schemas.connection import Connection
from schemas.events import ChangeEvent, Hint
from schemas.journal import Journal
from schemas.jsontext import read_json
from schemas.platform import Platform
from schemas.webhooks import Webhooks
from streams.sources.subscribing import Subscriber


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of a webhook. Header names are lower case; `url` is the public URL that the platform called."""

    method: str = "POST"
    url: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    said: Any = None
    """What the body says, where somebody has read it already: batches are long."""

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        """Return what the body says; ValueError when it is no JSON. Nobody changes it: others read it as well."""
        return read_json(self.body) if self.said is None else self.said


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a handshake or a refused hook."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Choice(msgspec.Struct, frozen=True):
    """What an account has for a line of its section: the value to write, and what the platform calls it."""

    value: str
    label: str = ""
    rate: Decimal | None = None
    """In percent, of a tax."""


class Offer(msgspec.Struct, frozen=True):
    """What an account has to choose from for one key of its section."""

    choices: tuple[Choice, ...]
    best: str = ""
    """The value that fits beyond doubt, "" when a person has to decide."""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who the platform says this connection is, and the settings that writing depends on."""

    account: str
    name: str = ""
    currencies: tuple[str, ...] = ()
    home_currency: str = ""
    lock_date: str = ""
    time_zone: str = ""
    missing: tuple[str, ...] = ()
    """Settings or scopes that are missing, one sentence each."""
    offers: Mapping[str, Offer] = {}
    """What the platform itself says of a key of the connection's section that is missing or wrong."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection's mappings meet in the account, for `o2c check`.

    Keys are those of the connection's section: "accounts.sales", "stages.paid", "taxes" for whatever rate.
    """

    words: Mapping[str, str] = {}
    """The account's own status words, "<object type>:<word>" -> their label; empty = only the vendor's fixed list."""
    unshown: Mapping[str, str] = {}
    """Canonical word -> why no stage of the account can show it."""
    missing: Mapping[str, str] = {}
    """Key -> what it names and the account does not have, in one sentence."""
    offers: Mapping[str, Offer] = {}
    rates: tuple[Decimal, ...] = ()
    """Taxes in percent that the account sells at, as far as its latest orders show."""


def only(choices: Sequence[Choice]) -> str:
    """Return the value of the one choice there is, "" when there are none or several."""
    return choices[0].value if len(choices) == 1 else ""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A step of a sweep. `complete_up_to` is set when the pass is clean; only then the next one begins at `cursor`.

    With `more` the cursor is a place within the pass. It outlives processes: whoever comes next goes on there.
    """

    events: tuple[ChangeEvent, ...] = ()
    hints: tuple[Hint, ...] = ()
    cursor: str = ""
    more: bool = False
    complete_up_to: datetime | None = None
    blind: bool = False
    """No list tells any more what was deleted before this step: all that is known there is to be read again."""


class Source:
    """Base of every platform's source: pure translations, and conversations for what must be read.

    Events leave with version.native set where the platform has one; the agent adds epoch and seq of reads.
    """

    platform: ClassVar[Platform]
    journal: ClassVar[Journal | None] = None
    """What the vendor keeps to be fetched in place of webhooks."""
    read_batch: ClassVar[Mapping[str, int]] = {}
    """Object type -> how many `read_many` may take at once."""
    webhooks: ClassVar[Webhooks] = Webhooks()
    """What is asked for and how it is registered; without topics the platform has no webhooks."""

    def __init__(self, connection: Connection) -> None:
        """Remember the connection whose objects are translated."""
        self.connection = connection

    def verify(self, hook: Hook, secrets: Sequence[str], now: datetime) -> bool:
        """Tell whether the raw bytes are signed with any of *secrets* (two during rotation), recently enough."""
        raise NotImplementedError

    def topics(self) -> tuple[str, ...]:
        """Return what this connection wants to be told, in the vendor's words."""
        return self.webhooks.topics

    def subscriber(self) -> Subscriber | None:
        """Return who registers webhooks at the platform, None where a person does (see `webhooks.steps`)."""
        return None

    def handshake(self, hook: Hook, secrets: Sequence[str]) -> Reply | None:
        """Return the answer to a subscription handshake, or None when this is an ordinary delivery."""
        del hook, secrets
        return None

    def refused(self, hook: Hook) -> Reply:
        """Return the answer to a hook whose signature is wrong."""
        del hook
        return Reply(status=401)

    @classmethod
    def accounts(cls, hook: Hook) -> frozenset[str]:
        """Return the accounts that a delivery to the app's one address speaks of; empty = look at the address only."""
        del hook
        return frozenset()

    @classmethod
    def numbers(cls, hook: Hook) -> tuple[int, int] | None:
        """Return the numbers of the first and last event of a delivery, where the vendor counts them one by one."""
        del hook
        return None

    def to_events(self, hook: Hook) -> list[ChangeEvent]:
        """Return the complete records in a delivery that count as observations; DecodeError for unreadable bytes."""
        del hook
        return []

    def hints(self, hook: Hook) -> list[Hint]:
        """Return the objects of this connection's account that a delivery says changed."""
        raise NotImplementedError

    def parse(self, type_: str, record: Any) -> list[ChangeEvent]:  # noqa: ANN401 - an API record is any JSON
        """Return the events in an API record or a list page; *type_* is canonical (order, invoice, ...)."""
        raise NotImplementedError

    def read(self, hint: Hint) -> Talk[list[ChangeEvent]]:
        """Read one object (and the parts that live apart from it); a 404 gives an event with presence "deleted"."""
        raise NotImplementedError

    def read_many(self, hints: Sequence[Hint]) -> Talk[list[ChangeEvent]]:
        """Read several objects of one type in one call where the platform can."""
        events: list[ChangeEvent] = []
        for hint in hints:
            events += yield from self.read(hint)
        return events

    def sweeps(self) -> tuple[str, ...]:
        """Return the names of the walks this platform needs ("orders", "payments", ...)."""
        raise NotImplementedError

    def sweep(self, name: str, cursor: str, now: datetime) -> Talk[Page]:
        """Walk what changed since *cursor* (empty = from the connection's start), one page a call, with overlap.

        A cursor that is refused or not understood costs no more than the pass: that begins anew.
        """
        raise NotImplementedError

    @property
    def follows(self) -> Journal | None:
        """Return the journal that this connection follows, None where webhooks tell."""
        return self.journal if self.journal and self.journal.asked(self.connection.options) else None

    def entry(self, cursor: str) -> Talk[Page]:
        """Fetch the journal's entry after *cursor* (empty = its earliest), with `more` where another may follow.

        A cursor that the vendor forgot, or an entry that nobody can read, costs a hint that says GAP.
        """
        raise NotImplementedError

    def journal_subscriber(self) -> Subscriber:
        """Return who subscribes to what the journal is to tell; its subscriptions have no address."""
        raise NotImplementedError

    def identify(self) -> Talk[Identity]:
        """Make one harmless call and say whose account this is."""
        raise NotImplementedError

    def setup(self) -> Talk[Setup]:
        """Hold the connection's mappings against the account, by reading only; nothing to hold here by default."""
        yield from ()
        return Setup()
