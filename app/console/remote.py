"""The console's API as the command line asks it: standard library alone, so that an answer is there in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from app.config.model import Settings
from app.console.refused import Refused
from app.console.views import (
    About,
    ConflictList,
    ConflictView,
    Into,
    Link,
    Orders,
    OrderView,
    ParkedList,
    ParkedView,
    Problem,
    Told,
)
from schemas.decisions import Kind
from schemas.order_state import PublicOrder

_SECONDS = 10.0
_FINE, _REFUSED, _UNKNOWN = 200, 400, 404
_RANKS = {"viewer": 0, "operator": 1, "admin": 2}
T = TypeVar("T")
P = TypeVar("P", ConflictList, ParkedList)


def remote(settings: Settings) -> Remote | None:
    """Return the console where it runs and every configured tenant has a key for it, else None."""
    keys: dict[str, str] = {}
    for key in sorted(settings.console.api_keys, key=lambda key: _RANKS[key.role]):
        keys[key.tenant] = key.key.get_secret_value()  # that of the greatest role is last
    if not keys or {tenant.tenant for tenant in settings.tenants} - keys.keys():
        return None
    found = Remote(settings.console.url or f"http://{settings.console.host}:{settings.console.port}", keys)
    return found if found.is_ready() else None


class Remote:
    """Asks for every tenant in turn, each with its own key."""

    def __init__(self, url: str, keys: dict[str, str]) -> None:
        """*keys* are those of the tenants."""
        self._url, self._keys = urlsplit(url), keys

    def is_ready(self) -> bool:
        """Tell whether it answers and holds all that there is."""
        try:
            return self._call("GET", "/health/ready", "")[0] == _FINE
        except (OSError, HTTPException):
            return False

    def _call(self, method: str, path: str, key: str, body: bytes | None = None) -> tuple[int, bytes]:
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        connection = kind(self._url.hostname or "127.0.0.1", self._url.port, timeout=_SECONDS)
        try:
            connection.request(method, self._url.path.rstrip("/") + path, body, {"Authorization": f"Bearer {key}"})
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()

    def _ask(self, tenant: str, method: str, path: str, model: type[T], body: msgspec.Struct | None = None) -> T:
        try:
            sent = None if body is None else msgspec.json.encode(body)
            status, text = self._call(method, path, self._keys[tenant], sent)
            if status < _REFUSED:
                return msgspec.json.decode(text, type=model)
            problem = msgspec.json.decode(text, type=Problem)
        except (OSError, HTTPException, msgspec.MsgspecError) as error:
            what = f"The console at {self._url.geturl()} cannot be understood ({type(error).__name__})."
            raise Refused(503, what, "Look whether it runs there.") from error
        raise Refused(status, problem.error, problem.next_step)

    def _parked(self, id_: str) -> tuple[str, ParkedView]:
        """Return the parked object that *id_* means and whose it is; Refused when two tenants have one of that id."""
        path, found = f"/api/parked/{quote(id_, safe='')}", dict[str, ParkedView]()
        last = Refused(404, f"Nothing is parked as {id_}.", "See `o2c parked list`.")
        for tenant in self._keys:
            try:
                found[tenant] = self._ask(tenant, "GET", path, ParkedView)
            except Refused as refused:
                if refused.status != _UNKNOWN:
                    raise
                last = refused
        if not found:
            raise last
        if len(found) > 1:
            raise Refused(409, f"{' and '.join(found)} each have one of that name.", "See `o2c parked list`.")
        return next(iter(found.items()))

    def _found(self, id_: str) -> Iterator[tuple[str, PublicOrder]]:
        for tenant in self._keys:
            for order in self._ask(tenant, "GET", f"/api/orders?id={quote(id_, safe='')}", Orders).orders:
                yield tenant, order

    def orders(self, id_: str) -> list[OrderView]:
        """Return all about the orders that *id_* leads to."""
        return [self._ask(tenant, "GET", f"/api/orders/{one.key}", OrderView) for tenant, one in self._found(id_)]

    def _one(self, id_: str) -> tuple[str, str]:
        """Return tenant and key of the one order that *id_* means."""
        found = list(self._found(id_))
        if not found:
            raise Refused(404, f"There is no order {id_}.", "See `o2c orders list`.")
        if len(found) > 1:
            raise Refused(409, f"{id_} is {', '.join(order.key for _, order in found)}.", "Name one key.")
        return found[0][0], found[0][1].key

    def decide(self, id_: str, kind: Kind, about: str, by: str) -> Told:
        """Decide about the order that *id_* means; who says so is the key's name."""
        del by
        tenant, key = self._one(id_)
        path = f"conflicts/{quote(about, safe='')}/revert" if kind == "revert" else kind
        body = Into(into=about) if kind == "merge" else About(write=about)
        return self._ask(tenant, "POST", f"/api/orders/{key}/{path}", Told, body)

    def conflicts(self) -> Iterator[ConflictView]:
        """Yield every conflict."""
        for page in self._pages("/api/conflicts", ConflictList):
            yield from page.conflicts

    def parked(self) -> Iterator[ParkedView]:
        """Yield everything that waits for a person."""
        for page in self._pages("/api/parked", ParkedList):
            yield from page.parked

    def _pages(self, path: str, model: type[P]) -> Iterator[P]:
        for tenant in self._keys:
            page = self._ask(tenant, "GET", f"{path}?limit=1000", model)
            yield page
            while page.after:
                page = self._ask(tenant, "GET", f"{path}?limit=1000&after={quote(page.after, safe='')}", model)
                yield page

    def parked_one(self, id_: str) -> ParkedView:
        """Return one parked object with its candidates."""
        return self._parked(id_)[1]

    def say(self, id_: str, word: str, order: str, by: str) -> Told:
        """Say what a parked object is."""
        del by
        tenant, parked = self._parked(id_)
        body = Link(order=order) if word == "link" else None
        return self._ask(tenant, "POST", f"/api/parked/{quote(parked.id, safe='')}/{word}", Told, body)
