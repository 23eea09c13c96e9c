"""Runs `o2c` and notes a thousand times per CPU second what it is at: `python -m benchmarks.full.sampled FILE run ...`.

FILE gets the samples per part of the program and how often the pure core stepped, from its first step on. Only the main
thread is seen.
"""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.cli import main as o2c
from streams.processors import orders

if TYPE_CHECKING:
    from types import FrameType

_EVERY = 0.001
_PARTS = (
    ("streams/order/derive/", "derive"),
    ("streams/order/plan/", "plan"),
    ("streams/order/link.py", "link"),
    ("streams/order/", "merge and step"),
    ("schemas/projection.py", "projection"),
    ("schemas/cloudevents.py", "events decoded"),
    ("schemas/soundness.py", "events decoded"),
    ("schemas/jsonlimits.py", "events decoded"),
    ("streams/processors/orders.py", "orders"),
    ("streams/processors/", "links and world"),
    ("streams/engine/store.py", "store"),
    ("streams/engine/ship.py", "shipping"),
    ("streams/engine/", "engine"),
    ("structlog/", "log"),
    ("prometheus_client/", "metrics"),
    ("aiokafka/", "aiokafka"),
    ("faust/", "faust"),
    ("mode/", "faust"),
    ("asyncio/", "event loop"),
)
_NAMED = frozenset(("orders", "links and world"))
"""Parts that are told by function: a codec's time is that of the function that calls it."""


class Samples:
    """What the main thread was at."""

    def __init__(self) -> None:
        self.parts = Counter[str]()
        self.steps = 0

    def take(self, _signal: int, frame: FrameType | None) -> None:
        """Count the innermost part that is at work."""
        while frame is not None:
            file = frame.f_code.co_filename
            for fragment, part in _PARTS:
                if fragment in file:
                    self.parts[f"{part}: {frame.f_code.co_name.lstrip('_')}" if part in _NAMED else part] += 1
                    return
            frame = frame.f_back
        self.parts["other"] += 1

    def count_steps(self) -> None:
        """Count the steps of the pure core."""
        program = vars(orders)
        step = program["step"]

        def counted(*given: Any) -> Any:  # noqa: ANN401 - what `step` takes and gives
            if not self.steps:
                self.parts.clear()
            self.steps += 1
            return step(*given)

        program["step"] = counted

    def write(self, path: Path) -> None:
        """Write what was found."""
        path.write_text(json.dumps({"steps": self.steps, "parts": self.parts}))


def main() -> int:
    """Run `o2c` with the arguments that follow the file."""
    samples, path = Samples(), Path(sys.argv.pop(1))
    samples.count_steps()
    signal.signal(signal.SIGPROF, samples.take)
    signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
    try:
        return o2c()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        samples.write(path)


if __name__ == "__main__":
    sys.exit(main())
