"""The only HTTP client: sends Requests of the pure talks, never twice by itself, never to where it must not."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from app.core.errors import ConfigError, RejectedError, RetryableError, UncertainError
from app.core.talk import Request, Response

_LARGEST = 32 * 1024 * 1024
_CHUNK = 64 * 1024
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_UNICAST = ipaddress.ip_network("2000::/3")
"""All that IPv6 gives to public hosts; what lies beside it is local, reserved or IPv4 in other clothes."""


class _TooLarge(Exception):
    """A reply is larger than anything that a platform says."""


async def _whole(reply: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in reply.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > _LARGEST:
            raise _TooLarge
    return bytes(content)


class GuardedResolver(AbstractResolver):
    """Resolves a name once and refuses private, loopback and link-local addresses (SSRF)."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the public addresses of *host*; OSError when one of them is not public."""
        infos = await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        for *_, address in infos:
            if not is_public(str(address[0])):
                raise OSError(f"{host} is not a public address; allow_private permits it")
        return [
            ResolveResult(hostname=host, host=str(address[0]), port=port, family=found, proto=proto, flags=0)
            for found, _, proto, _, address in infos
        ]

    async def close(self) -> None:
        """Hold nothing."""


def is_public(address: str) -> bool:
    """Tell whether *address* is a public IP address, written plainly; IPv4 inside IPv6 is unwrapped first."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # 127.1, 0x7f.1: the operating system would take it for an address all the same
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is None:
            return found in _UNICAST and found.is_global
        found = inner
    return found.is_global and not found.is_multicast


def _guarded(info: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for an address that a connection is about to be made to: the last look, whoever named it."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise OSError("That is not a public address; allow_private permits it.")
    return socket.socket(family, kind, protocol)


def new_session(*, allow_private: bool, timeout: float) -> aiohttp.ClientSession:
    """Return a session that follows no redirect, resends nothing and obeys the address guard; *timeout* in seconds."""
    guards: dict[str, Any] = {} if allow_private else {"resolver": GuardedResolver(), "socket_factory": _guarded}
    connector = aiohttp.TCPConnector(limit=100, **guards)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout, connect=10),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=True,
    )
    # aiohttp resends PUT and DELETE by itself when a connection drops; a write must leave once (ENGINE section 7).
    session._retry_connection = False  # noqa: SLF001 - private until aiohttp has a switch; a test counts arrivals
    return session


class HttpClient:
    """Sends one connection's requests."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base_url: str,
        *,
        allow_private: bool,
        moved: bool = False,
        also: Iterable[str] = (),
    ) -> None:
        """Send relative paths to *base_url*; plain http and literal private addresses need *allow_private*.

        Absolute URLs, as a reply may name them, lead to the base's scheme, host and port or to those of the URLs in
        *also*; credentials go nowhere else. A `bare` request has none and may go to any public host.

        *moved* says that the base URL is not the vendor's own (a simulator, a proxy): tokens come from there as well.
        """
        self._session = session
        self.moved = moved
        self._base = base_url.rstrip("/")
        self._allow_private = allow_private
        base = _parsed(self._base)
        if base is None or base.user is not None:
            host = "" if base is None else f" with host {base.host}"
            raise ConfigError(f"A base URL{host} is no address of a platform; write it as https://host/path.")
        self._check(base)
        self._host = base.host or ""
        others = (_parsed(url) for url in also)
        self._origins = {base.origin(), *(url.origin() for url in others if url is not None)}

    def _check(self, url: URL) -> None:
        host = url.host or ""
        if self._allow_private:
            return
        if url.scheme != "https":
            raise ConfigError(f"{url} is not https; set allow_private = true for a sandbox or an own network.")
        if (":" in host or host.replace(".", "").isdigit()) and not is_public(host):
            raise ConfigError(f"{url} is a private address; set allow_private = true to permit it.")

    @property
    def origin(self) -> str:
        """Return scheme, host and port of the base URL."""
        parts = urlsplit(self._base)
        return f"{parts.scheme}://{parts.netloc}"

    def endpoint(self, url: str) -> str:
        """Return an address of the vendor's, or the same path where the base URL was moved to."""
        return self.origin + urlsplit(url).path if self.moved and url.startswith("https://") else url

    def url(self, request: Request) -> str:
        """Return where *request* goes."""
        return request.path if request.path.startswith(("http://", "https://")) else self._base + request.path

    def _target(self, request: Request) -> URL:
        """Return where *request* goes, as the address that is connected to: nobody parses it a second time."""
        if request.bare:
            return self._elsewhere(request.path)
        url = _parsed(self.url(request))
        if url is None or url.user is not None or url.origin() not in self._origins:
            raise RejectedError(f"A request of {self._host} leads to another host, where its credential must not go.")
        if not {".", ".."}.isdisjoint(unquote(request.path).replace("\\", "/").split("/")):
            raise RejectedError(f"A request of {self._host} leads out of its path.")
        return url

    def _elsewhere(self, text: str) -> URL:
        """Return an address that a reply named, to the letter: a signature may cover how it is written."""
        url = _parsed(text, encoded=text.isascii() and text.isprintable() and " " not in text)
        if url is None or url.user is not None:
            raise RejectedError(f"{self._host} names a file that has no address.")
        try:
            self._check(url.origin())
        except ConfigError as error:
            raise RejectedError(f"{self._host} names a file at {url.host}: no public https address.") from error
        return url

    async def send(self, request: Request, headers: Mapping[str, str], params: Mapping[str, str]) -> Response:
        """Send once and return the whole reply.

        RetryableError: it certainly did not arrive, or it only reads. UncertainError: a mutating request may have
        arrived.
        """
        url = self._target(request)
        body, content_type = request.content()
        sent = {"Accept": "application/json", **headers, **request.headers}
        if content_type:
            sent.setdefault("Content-Type", content_type)
        try:
            async with self._session.request(
                request.method,
                url,
                params={**request.params, **params},
                headers=sent,
                data=body or None,
                allow_redirects=False,
            ) as reply:
                content = await _whole(reply)
                received = {name.lower(): value for name, value in reply.headers.items()}
                return Response(status=reply.status, headers=received, body=content)
        except _TooLarge as error:
            message = f"{self._host} answered with more than {_LARGEST} bytes."
            raise (UncertainError if request.mutates else RejectedError)(message) from error
        except aiohttp.ClientConnectorError as error:
            raise RetryableError(f"{self._host} cannot be reached ({type(error).__name__}).") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"{self._host} gave no whole answer ({type(error).__name__})."
            raise (UncertainError if request.mutates else RetryableError)(message) from error


def _parsed(text: str, *, encoded: bool = False) -> URL | None:
    """Return *text* as the client takes it, *encoded* = to the letter; None where it is no whole address."""
    try:
        url = URL(text, encoded=encoded)
    except ValueError:
        return None
    return url if url.scheme in {"http", "https"} and url.host else None
