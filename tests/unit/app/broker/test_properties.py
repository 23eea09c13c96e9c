"""The broker's configuration."""

from __future__ import annotations

from pathlib import Path

from app.broker.properties import Node, bootstrap, properties
from tests.kafka import settings

ONE = Node(1, 9092, 9093)
THREE = (ONE, Node(2, 9094, 9095), Node(3, 9096, 9097))


def values(node: Node, nodes: tuple[Node, ...]) -> dict[str, str]:
    text = properties(node, nodes, Path("data"))
    return {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}


def test_a_broker_listens_on_the_loopback_address_only() -> None:
    listeners = values(ONE, (ONE,))["listeners"].split(",")
    assert [listener.split("://")[1].split(":")[0] for listener in listeners] == ["127.0.0.1", "127.0.0.1"]


def test_topics_are_never_created_by_accident_and_records_never_expire() -> None:
    found = values(ONE, (ONE,))
    assert found["auto.create.topics.enable"] == "false"
    assert found["log.retention.ms"] == "-1"


def test_one_node_needs_no_copies_and_three_keep_two_in_sync() -> None:
    alone, trio = values(ONE, (ONE,)), values(THREE[1], THREE)
    assert (alone["offsets.topic.replication.factor"], alone["min.insync.replicas"]) == ("1", "1")
    assert (trio["offsets.topic.replication.factor"], trio["min.insync.replicas"]) == ("3", "2")
    assert trio["controller.quorum.voters"] == "1@127.0.0.1:9093,2@127.0.0.1:9095,3@127.0.0.1:9097"


def test_the_old_group_protocol_stays_on() -> None:
    assert "classic" in values(ONE, (ONE,))["group.coordinator.rebalance.protocols"].split(",")


def test_clients_start_from_every_node() -> None:
    assert bootstrap(THREE) == "127.0.0.1:9092,127.0.0.1:9094,127.0.0.1:9096"


def test_a_container_gets_the_same_settings_and_its_outer_port() -> None:
    found = settings(40_000)
    assert found["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:40000"
    assert found["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
