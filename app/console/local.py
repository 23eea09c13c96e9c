"""The same answers without a console: read from Kafka for this one question."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from aiokafka.errors import KafkaError

from app.config.model import Settings
from app.console.answers import conflict_list, one_order, order_view, parked_list, parked_view
from app.console.feed import Feed
from app.console.refused import Refused
from app.console.store import Store
from app.console.telling import Message, Teller, Word, decided, said
from app.console.tenant import Tenant
from app.console.views import ConflictView, OrderView, ParkedView, Told
from app.core import topics
from app.kafka import refused
from schemas.decisions import Kind

_NO_LIMIT = 10_000_000
_UNKNOWN = 404


class Local:
    """Knows where orders stand and what is parked, not what happened: that is the console's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(None, {f"mode/{flow.name}": flow.mode for flow in settings.flows})

    def close(self) -> None:
        """Forget everything."""
        self._store.close()

    def _read(self, *names: str) -> list[Tenant]:
        """Return all tenants after these topics were read."""
        try:
            asyncio.run(self._fill(names))
        except KafkaError as error:
            raise asyncio.run(refused(self._settings.kafka)) from error
        return [self._store.tenant(name) for name in self._store.tenants()]

    async def _fill(self, names: Sequence[str]) -> None:
        feed = Feed(self._settings, self._store, names, quiet=True)
        try:
            await feed.start()
            await feed.fill()
        finally:
            await feed.stop()

    def orders(self, id_: str) -> list[OrderView]:
        """Return what is known of the orders that *id_* leads to."""
        tenants = self._read(topics.ORDER_STATES, topics.BROADCAST)
        return [order_view(tenant, order) for tenant in tenants for order in tenant.find(id_)]

    def conflicts(self) -> Iterator[ConflictView]:
        """Yield every conflict."""
        for tenant in self._read(topics.ORDER_STATES):
            yield from conflict_list(tenant, "", _NO_LIMIT).conflicts

    def parked(self) -> Iterator[ParkedView]:
        """Yield everything that waits for a person."""
        for tenant in self._read(topics.PARKED):
            yield from parked_list(tenant, "", _NO_LIMIT).parked

    def parked_one(self, id_: str) -> ParkedView:
        """Return one parked object with the orders it may belong to."""
        tenants = self._read(topics.ORDER_STATES, topics.PARKED)
        found = [parked_view(tenant, one) for tenant in tenants for one in tenant.parked_as(id_)]
        if len(found) != 1:
            what = f"{id_} is parked {len(found)} times." if found else f"Nothing is parked as {id_}."
            raise Refused(409 if found else 404, what, "See `o2c parked list`.")
        return found[0]

    def decide(self, id_: str, kind: Kind, about: str, by: str) -> Told:
        """Decide about the order that *id_* means."""
        tenants = self._read(topics.ORDER_STATES)
        return self._tell(tenants, lambda tenant: decided(tenant, one_order(tenant, id_), kind, about, by))

    def say(self, id_: str, word: Word, order: str, by: str) -> Told:
        """Say what a parked object is."""
        tenants = self._read(topics.ORDER_STATES, topics.PARKED)
        return self._tell(tenants, lambda tenant: said(tenant, id_, word, order, by))

    def _tell(self, tenants: Sequence[Tenant], say: Callable[[Tenant], Message]) -> Told:
        """Tell what the one tenant that knows of it has to say; of two with the same number none is guessed."""
        found: dict[str, Message] = {}
        last = Refused(404, "There is no order yet.", "See `o2c orders list`.")
        for tenant in tenants:
            try:
                found[tenant.name] = say(tenant)
            except Refused as refused:
                if refused.status != _UNKNOWN:
                    raise
                last = refused
        if len(found) > 1:
            raise Refused(409, f"{' and '.join(sorted(found))} each have one of that name.", "Give the order key.")
        for message in found.values():
            return asyncio.run(self._send(message))
        raise last

    async def _send(self, message: Message) -> Told:
        teller = Teller(self._settings)
        try:
            await teller.start()
            return await teller.tell(message)
        finally:
            await teller.stop()
