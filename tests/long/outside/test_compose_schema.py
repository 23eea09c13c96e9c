"""docker-compose.yml against the JSON schema of the Compose specification, which no Python package carries.

The newest copy that a registry has lies in dclint's package (https://github.com/compose-spec/compose-spec/tree/main/schema).
"""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.composed import filled
from tests.long.outside.conftest import fetched

pytestmark = pytest.mark.long
DCLINT = "dclint@3.1.0"


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> jsonschema.Draft7Validator:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not on PATH, which would fetch the schema")
    folder = tmp_path_factory.mktemp("compose")
    fetched("the schema of Compose", npm, "pack", "--silent", "--pack-destination", folder, DCLINT)
    with tarfile.open(next(folder.glob("dclint-*.tgz"))) as package:
        member = package.extractfile("package/schemas/compose.schema.json")
        assert member is not None
        return jsonschema.Draft7Validator(json.load(member))


@pytest.fixture
def written(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(filled((root / "docker-compose.yml").read_text(encoding="utf-8"), {}))
    return found


def test_the_file_is_valid_by_the_schema(schema: jsonschema.Draft7Validator, written: dict[str, Any]) -> None:
    assert [f"{error.json_path}: {error.message}" for error in schema.iter_errors(written)] == []


@pytest.mark.parametrize(
    ("service", "wrong"),
    [
        ("kafka", {"imagee": "x"}),
        ("gateway", {"healthcheck": {"intervall": "3s"}}),
        ("streams", {"depends_on": {"topics": {"condition": "service_done"}}}),
        ("console", {"ports": [{"target": [8083]}]}),
    ],
)
def test_the_schema_notices_mistakes(
    schema: jsonschema.Draft7Validator, written: dict[str, Any], service: str, wrong: dict[str, Any]
) -> None:
    written["services"][service] |= wrong
    assert any(service in error.json_path for error in schema.iter_errors(written))
