"""The jars of Kafka are the pinned ones or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from jgo.maven import PythonResolver

from app.broker.artifacts import KAFKA_VERSION, Jar, cache_dir, class_path, parse_pins, pinned
from app.core.errors import ConfigError

GOOD = b"the jar"
JAR = Jar("org.example", "thing", "1.0", hashlib.sha256(GOOD).hexdigest())


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes | Exception], list[str]]:
    """Let the resolver bring these bytes, or fail; return what it was asked for."""

    def arrange(answer: bytes | Exception) -> list[str]:
        asked: list[str] = []

        def download(self: PythonResolver, artifact: object) -> Path:
            asked.append(str(artifact))
            if isinstance(answer, Exception):
                raise answer
            path: Path = artifact.cached_path  # type: ignore[attr-defined]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(answer)
            return path

        monkeypatch.setattr(PythonResolver, "download", download)
        return asked

    return arrange


def test_every_jar_is_pinned_once_and_the_broker_is_the_stated_version() -> None:
    jars = pinned()
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert all(len(jar.sha256) == 64 for jar in jars)
    kafka = {jar.artifact: jar.version for jar in jars if jar.group == "org.apache.kafka"}
    assert set(kafka.values()) == {KAFKA_VERSION}
    assert {"kafka_2.13", "kafka-clients"} <= set(kafka)


def test_pins_are_lines_of_digest_and_coordinate() -> None:
    assert parse_pins(f"# comment\n\n{JAR.sha256}  org.example:thing:1.0\n") == (JAR,)


def test_a_jar_is_fetched_once(tmp_path: Path, serve: Callable[[bytes | Exception], list[str]]) -> None:
    asked = serve(GOOD)
    first, second = class_path(tmp_path, (JAR,)), class_path(tmp_path, (JAR,))
    assert first == second == (tmp_path / "maven/org/example/thing/1.0/thing-1.0.jar",)
    assert first[0].read_bytes() == GOOD
    assert len(asked) == 1


def test_what_an_interrupted_run_left_is_fetched_again(
    tmp_path: Path, serve: Callable[[bytes | Exception], list[str]]
) -> None:
    serve(GOOD)
    path = JAR.path(tmp_path / "maven")
    path.parent.mkdir(parents=True)
    path.write_bytes(GOOD[:3])
    assert class_path(tmp_path, (JAR,))[0].read_bytes() == GOOD


def test_a_jar_with_other_bytes_is_refused_and_not_kept(
    tmp_path: Path, serve: Callable[[bytes | Exception], list[str]]
) -> None:
    serve(b"another jar")
    with pytest.raises(ConfigError, match=r"thing-1\.0\.jar .* SHA-256 is not the pinned one; .*O2C_KAFKA"):
        class_path(tmp_path, (JAR,))
    assert not JAR.path(tmp_path / "maven").exists()


@pytest.mark.parametrize("failure", [requests.ConnectionError(), RuntimeError("not found"), OSError()])
def test_a_jar_that_cannot_be_fetched_is_named_with_the_next_step(
    tmp_path: Path, serve: Callable[[bytes | Exception], list[str]], failure: Exception
) -> None:
    serve(failure)
    with pytest.raises(
        ConfigError, match=r"thing-1\.0\.jar .* cannot be fetched .*; check the network, or set O2C_KAFKA"
    ):
        class_path(tmp_path, (JAR,))


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert cache_dir({"O2C_CACHE": str(tmp_path)}) == tmp_path
    assert cache_dir({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "o2c"
    assert cache_dir({}) == Path.home() / ".cache" / "o2c"


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="set O2C_CACHE"):
        class_path(tmp_path / "file" / "cache", (JAR,))
