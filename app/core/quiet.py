"""Logs of libraries that say the same thing over and over."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

_SECONDS = 10.0
_MOST = 1_000


class Seldom(logging.Filter):
    """Lets an equal line of the same logger through once per ten seconds, the next with how many were held back.

    While brokers are away, aiokafka says so of every connection and every try: hundreds of lines a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """*clock* tells seconds."""
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, int, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether *record* is written; what was held back since the last one is added to its message."""
        error = record.exc_info[1] if record.exc_info else None
        message = record.getMessage()
        line = record.name, record.levelno, message, repr(error)
        now = self._clock()
        at, held = self._said.get(line, (-math.inf, 0))
        if now < at + _SECONDS:
            self._said[line] = at, held + 1
            return False
        if len(self._said) >= _MOST:
            self._said.clear()
        self._said[line] = now, 0
        if held:
            record.msg, record.args = f"{message} (and {held} times more since it was last written)", ()
        return True
