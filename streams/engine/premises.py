"""The data folder of a worker, which belongs to one process at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from app.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def occupied(folder: Path) -> Iterator[None]:
    """Create *folder* and hold it; ConfigError where another process does. Whoever dies lets go."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "occupied").open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise ConfigError(
                f"The data folder {folder} is in use by process {file.read().strip()}; two workers cannot share one. "
                "Stop that process, or give this worker a name of its own with --worker."
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
