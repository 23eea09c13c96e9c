"""`python -m app.roles.health_check URL`: exit 0 when a role's health page says it is fine; for container engines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

_SECONDS = 5.0
_FINE = 200


def main(words: Sequence[str]) -> int:
    """Ask the page that *words* names; print what it says when that is not good news."""
    url = urlsplit(words[0])
    connection = HTTPConnection(url.hostname or "127.0.0.1", url.port or 80, timeout=_SECONDS)
    try:
        connection.request("GET", url.path or "/")
        reply = connection.getresponse()
        body = reply.read()
    except (OSError, HTTPException) as error:
        sys.stdout.write(f"{words[0]} does not answer ({type(error).__name__}).\n")
        return 1
    finally:
        connection.close()
    if reply.status == _FINE:
        return 0
    sys.stdout.write(body.decode(errors="replace") + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
