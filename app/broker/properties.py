"""The configuration of a small broker as text; it decides everything and touches nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import PurePath

    Properties = Callable[["Node"], Mapping[str, object]]

_HOST = "127.0.0.1"


class Node(NamedTuple):
    """One broker that is its own controller."""

    id: int
    port: int
    controller_port: int

    @property
    def address(self) -> str:
        """Return where clients connect."""
        return f"{_HOST}:{self.port}"


def bootstrap(nodes: Sequence[Node]) -> str:
    """Return the addresses that a client starts from."""
    return ",".join(node.address for node in nodes)


def nothing(_: Node) -> dict[str, object]:
    """Return no property: ours are enough."""
    return {}


def properties(node: Node, nodes: Sequence[Node], data: PurePath, more: Properties = nothing) -> str:
    """Return server.properties of *node*, keeping its log in *data*; what *more* returns stands beside or before ours.

    Topics are never created by accident and records never expire by age: histories of past years are played through it.
    """
    copies = min(3, len(nodes))
    voters = ",".join(f"{peer.id}@{_HOST}:{peer.controller_port}" for peer in nodes)
    values: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{node.address},CONTROLLER://{_HOST}:{node.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{node.address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": data,
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": max(1, copies - 1),
        "log.retention.ms": -1,
        # Internal topics: as many copies as there are nodes for, few partitions: opening them delays the start.
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": max(1, copies - 1),
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": max(1, copies - 1),
        "share.coordinator.state.topic.num.partitions": 1,
        # aiokafka speaks the classic group protocol only; tests want short sessions and no wait for the first member.
        "group.coordinator.rebalance.protocols": "classic,consumer",
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1_000,
        # Small: threads, the cleaner's buffer (128 MB by default) and the preallocated indexes of every partition.
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.threads": 1,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
        "log.index.size.max.bytes": 1024 * 1024,
        "controlled.shutdown.enable": "true" if len(nodes) > 1 else "false",
    }
    return "".join(f"{name}={value}\n" for name, value in {**values, **more(node)}.items())
