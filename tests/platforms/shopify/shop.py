"""The sandbox, spoken to as its people and as o2c do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.core.talk import Request, Talk
from app.sandbox.platforms.shopify import ShopifySandbox
from schemas.events import ChangeEvent, Hint
from schemas.refs import ObjectRef
from tests.platforms.conversation import converse
from tests.platforms.shopify.plain import DOMAIN, SOURCE

HEADERS = {"X-Shopify-Access-Token": ShopifySandbox.token}
LINES = [
    {"sku": "MUG", "title": "Blue mug", "quantity": 3, "price": "19.99", "tax_rate": "20"},
    {"sku": "PEN", "title": "Pen", "quantity": 1, "price": "1.35", "tax_rate": "20"},
]
BOUGHT = {"lines": LINES, "email": "ada@example.com", "name": "Ada Example", "currency": "EUR", "shipping": "4.90"}


class Shop:
    """The sandbox, spoken to as its people and as o2c do; remembers what o2c asked."""

    def __init__(self, sandbox: ShopifySandbox, url: str) -> None:
        self.sandbox, self.url = sandbox, url
        self.asked: list[Request] = []

    def act(self, verb: str, **asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.sandbox.verbs[verb](asked)  # type: ignore[assignment]  # these acts are no coroutines
        return found

    async def talk(self, talk: Talk[Any]) -> Any:
        return await converse(self._heard(talk), self.url, HEADERS)

    def _heard(self, talk: Talk[Any]) -> Talk[Any]:
        try:
            request = next(talk)
            while True:
                self.asked.append(request)
                request = talk.send((yield request))
        except StopIteration as done:
            return done.value

    async def events(self, id_: str) -> list[ChangeEvent]:
        hint = Hint(tenant="acme", object=ObjectRef("shop", DOMAIN, "order", id_))
        found: list[ChangeEvent] = await self.talk(SOURCE.read(hint))
        return found

    def books(self, kind: str) -> list[dict[str, Any]]:
        return [row for row in self.sandbox.books() if row["kind"] == kind]


@asynccontextmanager
async def opened() -> AsyncIterator[Shop]:
    sandbox = ShopifySandbox(DOMAIN, quota_scale=100)
    yield Shop(sandbox, await sandbox.start())
    await sandbox.stop()


def by_type(events: list[ChangeEvent], type_: str) -> list[ChangeEvent]:
    return [event for event in events if event.object.type == type_]
