"""Raw requests of our own: what two readers of HTTP might end at different places, with a good request behind each.

Behind a proxy that ends the first one elsewhere, the second would be taken for another sender's. It must not be taken at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.cases import Case

_LINE = b"POST /webhooks/test HTTP/1.1"
_HOST = b"Host: localhost"
_CHUNKED = b"Transfer-Encoding: chunked"
_HEADS = {
    "te-unknown": (_LINE, _HOST, b"Transfer-Encoding: xchunked"),
    "te-space-before-colon": (_LINE, _HOST, b"Content-Length: 2", b"Transfer-Encoding : chunked"),
    "te-folded": (_LINE, _HOST, b"Content-Length: 2", b"X-A: b", b" Transfer-Encoding: chunked"),
    "te-vertical-tab": (_LINE, _HOST, b"Content-Length: 2", b"Transfer-Encoding:\x0bchunked"),
    "te-twice": (_LINE, _HOST, _CHUNKED, b"Transfer-Encoding: identity"),
    "te-not-last": (_LINE, _HOST, b"Transfer-Encoding: chunked, gzip"),
    "te-and-length": (_LINE, _HOST, _CHUNKED, b"Content-Length: 2"),
    "te-bare-line-feed": (_LINE, _HOST, b"Content-Length: 2", b"X-A: b\nTransfer-Encoding: chunked"),
    "length-negative": (_LINE, _HOST, b"Content-Length: -1"),
    "length-hexadecimal": (_LINE, _HOST, b"Content-Length: 0x2"),
    "length-list": (_LINE, _HOST, b"Content-Length: 2, 2"),
    "length-two-words": (_LINE, _HOST, b"Content-Length: 2 2"),
    "length-underscore": (_LINE, _HOST, b"Content-Length: 0_2"),
    "length-arabic": (_LINE, _HOST, "Content-Length: \u0662".encode()),
    "length-empty": (_LINE, _HOST, b"Content-Length:"),
    "length-nul": (_LINE, _HOST, b"Content-Length\x00: 2"),
    "name-empty": (_LINE, _HOST, b"Content-Length: 2", b": b"),
    "name-space": (_LINE, _HOST, b"Content-Length: 2", b"X A: b"),
    "name-bracket": (_LINE, _HOST, b"Content-Length: 2", b"X(A): b"),
    "value-carriage-return": (_LINE, _HOST, b"Content-Length: 2", b"X-A: b\rContent-Length: 200"),
    "version-lower-case": (b"POST /webhooks/test http/1.1", _HOST, b"Content-Length: 2"),
    "version-none": (b"POST /webhooks/test", _HOST, b"Content-Length: 2"),
    "method-nul": (b"PO\x00ST /webhooks/test HTTP/1.1", _HOST, b"Content-Length: 2"),
}
_CHUNKS = {
    "hexadecimal-prefix": b"0x2\r\n{}\r\n0\r\n\r\n",
    "plus": b"+2\r\n{}\r\n0\r\n\r\n",
    "minus": b"-2\r\n{}\r\n0\r\n\r\n",
    "underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
    "bare-line-feed": b"2\n{}\r\n0\r\n\r\n",
    "extension-with-line-feed": b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "longer-than-it-says": b"2\r\n{}XX\r\n0\r\n\r\n",
    "no-size": b"\r\n{}\r\n0\r\n\r\n",
}


def raw(behind: bytes) -> Iterator[Case]:
    """Yield each of them with the whole request *behind* it."""
    for name, lines in _HEADS.items():
        body = b"0\r\n\r\n" if b"chunked" in b"".join(lines) and b"Content-Length: 2" not in lines else b"{}"
        yield _case(name, b"\r\n".join((*lines, b"", body)) + behind)
    for name, chunks in _CHUNKS.items():
        yield _case(f"chunk-{name}", b"\r\n".join((_LINE, _HOST, _CHUNKED, b"", chunks)) + behind)


def _case(name: str, body: bytes) -> Case:
    return Case(file="http", name=f"own/{name}", body=body, expect="400", raw=True)
