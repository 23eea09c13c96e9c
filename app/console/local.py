"""The same answers without a console: read from Kafka for this one question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar

from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.console.answers import conflict_list, order_view, parked_view
from app.console.feed import Feed
from app.console.model import Model
from app.console.refused import Refused
from app.console.telling import Teller, one_order, one_parked
from app.console.views import ConflictView, OrderView, ParkedView, Told
from app.core import topics
from app.core.errors import ConfigError
from schemas.decisions import Kind
from schemas.links import Say
from schemas.order_state import PublicOrder

_STATES = (topics.ORDER_STATES, topics.BROADCAST)
_LISTS = (topics.ORDER_STATES, topics.PARKED)
_NO_LIMIT = 10_000_000
T = TypeVar("T")


class Local:
    """Knows where orders stand and what is parked, not what happened: that is the console's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._model = Model(None, {f"mode/{flow.name}": flow.mode for flow in settings.flows})

    def close(self) -> None:
        """Forget everything."""
        self._model.close()

    def _read(self, names: Sequence[str]) -> Model:
        try:
            asyncio.run(self._fill(names))
        except KafkaError as error:
            bootstrap = self._settings.kafka.bootstrap
            raise ConfigError(f"Kafka does not answer at {bootstrap}; run `o2c kafka status`.") from error
        return self._model

    async def _fill(self, names: Sequence[str]) -> None:
        feed = Feed(self._settings, self._model, names, quiet=True)
        try:
            await feed.start()
            await feed.fill()
        finally:
            await feed.stop()

    def orders(self, id_: str) -> list[OrderView]:
        """Return what is known of the orders that *id_* leads to."""
        model = self._read(_STATES)
        return [order_view(model, order) for tenant in model.tenants() for order in model.find(tenant, id_)]

    def conflicts(self) -> Iterator[ConflictView]:
        """Yield every conflict."""
        model = self._read(_STATES)
        for tenant in model.tenants():
            yield from conflict_list(model, tenant, "", _NO_LIMIT).conflicts

    def parked(self) -> Iterator[ParkedView]:
        """Yield everything that waits for a person."""
        model = self._read(_LISTS)
        for tenant in model.tenants():
            yield from (parked_view(model, one, candidates=False) for one in model.parked(tenant, "", _NO_LIMIT))

    def parked_one(self, id_: str) -> ParkedView:
        """Return one parked object with the orders it may belong to."""
        model = self._read(_LISTS)
        found = [one for tenant in model.tenants() for one in model.parked_as(tenant, id_)]
        if len(found) != 1:
            what = f"{id_} is parked {len(found)} times." if found else f"Nothing is parked as {id_}."
            raise Refused(409 if found else 404, what, "See `o2c parked list`.")
        return parked_view(model, found[0])

    def sync(self, id_: str, by: str) -> Told:
        """Have an order read and planned again."""
        return self._decide(id_, "sync", "", by)

    def revert(self, id_: str, field: str, by: str) -> Told:
        """Give the lost value of a conflict back."""
        return self._decide(id_, "revert", field, by)

    def _decide(self, id_: str, kind: Kind, about: str, by: str) -> Told:
        model = self._read(_STATES)
        order: PublicOrder = _first(model.tenants(), lambda tenant: one_order(model, tenant, id_))
        return asyncio.run(self._tell(lambda teller: teller.decide(order, kind, about, by)))

    def say(self, id_: str, word: Literal["link", "dismiss", "release"], order: str, by: str) -> Told:
        """Say what a parked object is."""
        model = self._read(_LISTS)

        def meant(tenant: str) -> tuple[str, str]:
            into = one_order(model, tenant, order) if order else None
            return one_parked(model, tenant, id_), "" if into is None else into.alias_of or into.key

        object_, key = _first(model.tenants(), meant)
        said = Say(key=object_, word=word, order=key, at=datetime.now(UTC), by=by)
        return asyncio.run(self._tell(lambda teller: teller.say(said)))

    async def _tell(self, tell: Callable[[Teller], Awaitable[Told]]) -> Told:
        teller = Teller(self._settings)
        try:
            await teller.start()
            return await tell(teller)
        finally:
            await teller.stop()


def _first(tenants: Iterable[str], ask: Callable[[str], T]) -> T:
    """Return what the first tenant that knows it says."""
    last: Refused | None = None
    for tenant in tenants:
        try:
            return ask(tenant)
        except Refused as refused:
            if refused.status != 404:  # noqa: PLR2004 - unknown there
                raise
            last = refused
    raise last or Refused(404, "There is no order yet.", "See `o2c orders list`.")
