"""docker-compose.yml without Docker: valid by the Compose specification, and every command in it exists."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import compose_spec
import pytest
import yaml

from app.broker import docker
from app.broker.artifacts import KAFKA_VERSION
from app.cli.run import ROLES
from app.config.load import load
from tests.composed import filled

ENVIRONMENT = {"O2C_BOOTSTRAP": "kafka:29092", "O2C_KEY": "long random text", "O2C_PUBLIC_URL": "https://hooks.example"}


@pytest.fixture(scope="module")
def text(root: Path) -> str:
    """Return the file as an engine reads it: variables replaced by their defaults."""
    return filled((root / "docker-compose.yml").read_text(encoding="utf-8"), {})


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def test_compose_file_is_valid_by_the_specification(text: str, services: dict[str, Any]) -> None:
    compose = compose_spec.PyOptions(apply_merge=True).from_yaml(text)
    compose.validate()
    assert set(compose.service_names()) == set(services)


@pytest.mark.parametrize("wrong", ["imagee: x", "healthcheck: {intervall: 3s}", "ports: ['127.0.0.1:http:9']"])
def test_the_check_of_the_specification_notices_mistakes(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"extension key|port ranges"):
        compose_spec.PyOptions(apply_merge=True).from_yaml(f"services:\n  a:\n    image: x\n    {wrong}\n")


@pytest.mark.parametrize("service", ["topics", *ROLES])
def test_every_command_is_one_of_ours(service: str, services: dict[str, Any], root: Path) -> None:
    command = [sys.executable, "-m", "app", *services[service]["command"], "--help"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "example:" in done.stdout


def test_the_mounted_configuration_loads_and_agrees_with_ports_and_health_checks(
    services: dict[str, Any], root: Path
) -> None:
    settings = load(root / "deploy/config/o2c.toml", ENVIRONMENT)
    for role in ROLES:
        section = getattr(settings, role)
        assert section.host == "0.0.0.0"  # noqa: S104 - inside the container only
        assert services[role]["healthcheck"]["test"][-1] == f"http://127.0.0.1:{section.port}/health/ready"


def test_nothing_is_published_beyond_this_machine(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_kafka_is_the_version_and_address_that_the_command_line_expects(services: dict[str, Any]) -> None:
    kafka = services[docker.SERVICE]
    assert kafka["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert docker.BOOTSTRAP in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_image_installs_locked_dependencies_only(root: Path) -> None:
    dockerfile = (root / "deploy/Dockerfile").read_text(encoding="utf-8")
    installs = [line for line in dockerfile.splitlines() if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert "USER o2c" in dockerfile


def test_roles_run_as_the_user_of_the_image_or_as_whoever_owns_the_secrets(root: Path) -> None:
    dockerfile = (root / "deploy/Dockerfile").read_text(encoding="utf-8")
    written = (root / "docker-compose.yml").read_text(encoding="utf-8")
    for given, expected in (({}, "10001"), ({"O2C_USER": "1000:0"}, "1000:0")):
        services = yaml.safe_load(filled(written, given))["services"]
        assert {services[name]["user"] for name in ("topics", *ROLES)} == {expected}
    assert "--uid 10001 o2c && install -d -o o2c -g 0 -m 0770 /data" in dockerfile  # group 0 may write what must stay


@pytest.mark.sandbox
@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_check_of_a_role_tells_what_the_page_tells(status: int, code: int, services: dict[str, Any]) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"wrong": {"kafka": "does not acknowledge"}}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
            return

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        words = services["gateway"]["healthcheck"]["test"][2:-1]
        url = f"http://127.0.0.1:{server.server_port}/health/ready"
        done = subprocess.run([sys.executable, *words, url], capture_output=True, text=True, timeout=30, check=False)
        server.shutdown()
        thread.join()
    assert done.returncode == code
    assert ("does not acknowledge" in done.stdout) == bool(code)
