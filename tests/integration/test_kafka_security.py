"""TLS and SASL against the listeners of a real broker: commands, roles and an event through them, and each refusal."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app.broker import java
from app.broker.properties import Node
from app.config.load import load
from app.core import topics
from app.core.errors import ConfigError
from app.demo.stack import Stack, free_port
from app.demo.verdict import order_key
from app.kafka import reached, security
from tests.certificates import Authority
from tests.e2e.configuring import API_KEY, SERVICE

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(280)]
WITHOUT_GIVEN = {name: value for name, value in os.environ.items() if name != "O2C_KAFKA"}
USER, PASSWORD = "o2c", "made-up-password"
PATIENCE = 120.0
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
_HEAD = """
data_dir = "data"
key = "made-up-key-for-tests"
[topics]
prefix = "{prefix}"
[gateway]
port = {gateway}
public_url = "http://127.0.0.1:{gateway}"
api_keys = ["{key}"]
[streams]
port = {streams}
[connectors]
port = {connectors}
[console]
port = {console}
[kafka]
partitions = 2
{kafka}
[[tenant]]
name = "demo"
"""


@dataclass
class Secured:
    """A broker with listeners for each way in, and the certificates that belong to it."""

    folder: Path
    ports: Mapping[str, int]

    def section(self, listener: str, **changes: str) -> str:
        """Return what [kafka] says to come in at *listener*; a changed value of "" is left out."""
        said = {"bootstrap": f"127.0.0.1:{self.ports[listener]}", "security_protocol": listener}
        said["ssl_cafile"] = str(self.folder / "ca.pem")
        if listener.startswith("SASL"):
            said |= {"sasl_mechanism": "PLAIN", "sasl_username": USER, "sasl_password": PASSWORD}
        else:
            said |= {"ssl_certfile": str(self.folder / "client.pem"), "ssl_keyfile": str(self.folder / "key.pem")}
        return "".join(f'{name} = "{value}"\n' for name, value in {**said, **changes}.items() if value)

    def config(self, folder: Path, kafka: str) -> Path:
        """Write a configuration with a company whose orders another service tells."""
        ports = {role: free_port() for role in ("gateway", "streams", "connectors", "console")}
        text = _HEAD.format(prefix=f"tls-{uuid.uuid4().hex[:8]}-", kafka=kafka, key=API_KEY, **ports) + SERVICE
        path = folder / "o2c.toml"
        path.write_text(text, encoding="utf-8")
        return path


def _listeners(folder: Path, ports: Mapping[str, int], node: Node) -> dict[str, object]:
    """Return properties by which *node* also asks for a password, or for a certificate."""
    ours = f"PLAINTEXT://{node.address}"
    more = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    names = {name: name for name in ("PLAINTEXT", *ports)} | {"CONTROLLER": "PLAINTEXT"}
    return {
        "listeners": f"{ours},{more},CONTROLLER://127.0.0.1:{node.controller_port}",
        "advertised.listeners": f"{ours},{more}",
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in names.items()),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": folder / "broker.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": folder / "ca.pem",
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{_PLAIN} required user_{USER}="{PASSWORD}";',
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": f"{_SCRAM} required;",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{_SCRAM} required;",
    }


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    Authority().write(folder)
    ports = {"SSL": free_port(), "SASL_SSL": free_port()}
    with asyncio.Runner() as runner:
        more = partial(_listeners, folder, ports)
        running = runner.run(java.start(folder / "data", WITHOUT_GIVEN, more=more))
        try:
            _may_come_in_by_scram(running.bootstrap)
            yield Secured(folder, ports)
        finally:
            runner.run(java.stop(folder / "data"))
            runner.run(asyncio.sleep(0.5))  # asyncio hears of the end from a thread of its own


def _may_come_in_by_scram(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        user = UserScramCredentialUpsertion(USER, ScramCredentialInfo(kind, 4096), PASSWORD.encode())
        for done in admin.alter_user_scram_credentials([user]).values():
            done.result(30)


def o2c(*words: str | Path) -> tuple[int, str]:
    program = [sys.executable, "-m", "app", *map(str, words)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr


@asynccontextmanager
async def roles(folder: Path, config: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Run every role until it is ready, and stop it."""
    stack, settings = Stack(folder), load(config, {})
    async with aiohttp.ClientSession() as session:
        try:
            for role in ("streams", "connectors", "gateway", "console"):
                await stack.start_role(role, config, f"{role}-1")
            for role in ("streams", "connectors", "gateway", "console"):
                url = f"http://127.0.0.1:{getattr(settings, role).port}/health/ready"
                await asyncio.wait_for(_ready(session, url, stack), PATIENCE)
            yield session
        finally:
            await stack.stop()


async def _ready(session: aiohttp.ClientSession, url: str, stack: Stack) -> None:
    while True:
        assert [(one.name, one.log.read_text()[-2_000:]) for one in stack.dead()] == []
        try:
            async with session.get(url) as reply:
                if reply.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.2)


async def _first_state(config: Path) -> str:
    """Return the key of the first order state that there is."""
    settings = load(config, {})
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest", **security(settings.kafka)
    )
    await consumer.start()
    try:
        topic = settings.topics.prefix + topics.ORDER_STATES
        consumer.assign([TopicPartition(topic, number) for number in range(settings.kafka.partitions)])
        return str((await asyncio.wait_for(consumer.getone(), PATIENCE)).key, "ascii")
    finally:
        await consumer.stop()


EVENT: dict[str, Any] = {
    "specversion": "1.0", "type": "o2c.order.changed.v1", "source": "/demo/erp/erp-1", "id": "1",
    "data": {
        "tenant": "demo", "object": {"connection": "erp", "account": "erp-1", "type": "order", "id": "4711"},
        "version": {"native": 1}, "facts": {"type": "order", "number": "4711", "currency": "EUR", "status": "open"},
    },
}  # fmt: skip


async def test_an_event_goes_through_every_role(secured: Secured, tmp_path: Path) -> None:
    config = secured.config(tmp_path, secured.section("SASL_SSL"))
    assert o2c("topics", "apply", "--config", config) == (0, "")
    async with roles(tmp_path, config) as session:
        headers = {"Authorization": f"Bearer {API_KEY}", "Content-Type": "application/cloudevents+json"}
        url = f"{load(config, {}).gateway.public_url}/events"
        async with session.post(url, json=EVENT, headers=headers) as reply:
            assert reply.status == 202, await reply.text()
        assert await _first_state(config) == order_key("demo", "erp", "erp-1", "order", "4711")
        for command in ("orders list", "dead-letters list", "connections list", "flows list"):
            assert await asyncio.to_thread(o2c, *command.split(), "--config", config) == (0, ""), command


@pytest.mark.parametrize(
    ("listener", "changes"),
    [
        ("SSL", {}),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-256"}),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512"}),
    ],
)
async def test_a_certificate_and_a_login_by_scram_are_taken(
    secured: Secured, tmp_path: Path, listener: str, changes: dict[str, str]
) -> None:
    config = secured.config(tmp_path, secured.section(listener, **changes))
    assert o2c("topics", "apply", "--config", config) == (0, "")


NOBODY = {"ssl_certfile": "", "ssl_keyfile": ""}


@pytest.mark.parametrize(
    ("listener", "changes", "told"),
    [
        ("SASL_SSL", {"sasl_password": "wrong"}, "refuses the login; look at [kafka] sasl_username"),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512", "sasl_password": "wrong"}, "refuses the login; look at"),
        ("SASL_SSL", {"ssl_cafile": ""}, "shows a certificate that is not trusted"),
        ("SASL_SSL", {"bootstrap": "localhost"}, "shows a certificate that is not trusted (Hostname mismatch"),
        ("SSL", NOBODY, "look at [kafka] security_protocol and ssl_certfile"),
        ("SSL", {"security_protocol": "PLAINTEXT", "ssl_cafile": "", **NOBODY}, "look at [kafka] security_protocol"),
    ],
)
async def test_who_is_not_let_in_is_told_why(
    secured: Secured, tmp_path: Path, listener: str, changes: dict[str, str], told: str
) -> None:
    host = changes.get("bootstrap", "127.0.0.1")
    changes = {**changes, "bootstrap": f"{host}:{secured.ports[listener]}"}
    settings = load(secured.config(tmp_path, secured.section(listener, **changes)), {})
    with pytest.raises(ConfigError) as refused:
        await reached(settings.kafka)
    assert told in str(refused.value)


@pytest.mark.parametrize("words", ["run streams", "orders list", "dead-letters list", "flows stop services", "plan"])
def test_whatever_is_not_let_in_ends_with_that_sentence(secured: Secured, tmp_path: Path, words: str) -> None:
    config = secured.config(tmp_path, secured.section("SASL_SSL", sasl_password="wrong"))
    where = f"127.0.0.1:{secured.ports['SASL_SSL']}"
    said = f"o2c: Kafka at {where} refuses the login; look at [kafka] sasl_username and sasl_password.\n"
    assert o2c(*words.split(), "--config", config) == (2, said)
