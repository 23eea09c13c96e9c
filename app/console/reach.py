"""Who answers the command line: the console where it runs, else Kafka read for this one question."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.config.model import Settings
from app.console.remote import Remote, remote

if TYPE_CHECKING:
    from app.console.local import Local


@contextmanager
def reached(settings: Settings) -> Iterator[Remote | Local]:
    """Give who answers; aiokafka is loaded only where no console does."""
    found = remote(settings)
    if found is not None:
        yield found
        return
    if settings.console.api_keys:
        sys.stderr.write("No console answers that has everything: Kafka is read instead, which knows no hops.\n")
    local: Local = importlib.import_module("app.console.local").Local(settings)
    try:
        yield local
    finally:
        local.close()
