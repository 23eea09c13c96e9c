"""What a worker process is told, and the settings that all of them share; needs nothing but msgspec."""

from __future__ import annotations

from pathlib import Path

import msgspec

PARTITIONS = 4
COMMIT_SECONDS = 1.0
COMPRESSION = "lz4"
AIOKAFKA_COMPRESSION = "snappy"  # its lz4 is the slow kind that compresses best: six times the CPU
LINGER_SECONDS = 0.02
BATCH_BYTES = 512 * 1024


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Names and places of one worker's run; its topics are its own, the sources are everybody's."""

    bootstrap: str
    worker: str
    group: str
    shop: str
    books: str
    commands: str
    changelog: str
    dead_letters: str
    data: str

    @property
    def folder(self) -> Path:
        """Return where the worker keeps its state."""
        return Path(self.data)

    @staticmethod
    def read(text: str) -> Job:
        """Return what `text` wrote."""
        return msgspec.json.decode(text, type=Job)

    def text(self) -> str:
        """Return this job as an argument of a process."""
        return msgspec.json.encode(self).decode()
