"""Every version reads what earlier ones wrote; the published documents are what they claim to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest

from app.contract import MODELS, asyncapi, documents, schema
from app.core.topics import TOPICS
from schemas import cloudevents
from schemas.commands import Capability, Outcome
from schemas.facts import type_names

FOLDER = Path(__file__).parent.parent / "fixtures" / "events"
VERSIONS = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path.name.startswith("v"))


def _records(version: str, message: str) -> list[dict[str, Any]]:
    lines = (FOLDER / version / f"{message}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _read(message: str, record: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Return (what was written, what it is read as) for each message in *record*."""
    raw = json.dumps(record["value"]).encode()
    if message != "change_event":
        return [(record["value"], msgspec.json.decode(raw, type=MODELS[message]))]
    if record["mode"] == "batch":
        events = cloudevents.decode_http(record["headers"], raw)
        return [(envelope["data"], event) for envelope, event in zip(record["value"], events, strict=True)]
    headers = [(name, content.encode()) for name, content in record["headers"].items()]
    written = record["value"]["data"] if record["mode"] == "structured" else record["value"]
    return [(written, cloudevents.decode(headers, raw))]


def _lost(written: Any, read: Any, path: str = "") -> Iterator[str]:
    """Yield what was written and is not read; fields of later versions may come on top."""
    if isinstance(written, dict):
        for key, value in written.items():
            yield from _lost(value, read.get(key), f"{path}.{key}") if isinstance(read, dict) else [f"{path}.{key}"]
    elif isinstance(written, list) and isinstance(read, list) and len(written) <= len(read):
        for number, (before, after) in enumerate(zip(written, read, strict=False)):
            yield from _lost(before, after, f"{path}[{number}]")
    elif written != read:
        yield path


@pytest.mark.parametrize("message", MODELS)
@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_recorded_is_lost(version: str, message: str) -> None:
    for record in _records(version, message):
        for written, read in _read(message, record):
            assert list(_lost(written, json.loads(msgspec.json.encode(read)))) == []


@pytest.mark.parametrize("message", MODELS)
@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_recorded_fits_the_published_schema(version: str, message: str) -> None:
    validator = jsonschema.Draft202012Validator(schema(MODELS[message]))
    for record in _records(version, message):
        for written, _ in _read(message, record):
            validator.validate(written)


def test_what_is_left_out_or_renamed_would_be_found() -> None:
    assert list(_lost({"a": [{"b": "1"}]}, {"a": [{"c": "1"}]})) == [".a[0].b"]
    assert list(_lost({"a": "1", "b": []}, {"a": "2", "b": [], "c": 1})) == [".a"]


def test_the_newest_version_is_recorded_whole() -> None:
    """Where this fails, record: see CONTRIBUTING.md."""
    assert VERSIONS[0] == "v1"
    newest = VERSIONS[-1]
    assert {path.stem for path in (FOLDER / newest).iterdir()} == set(MODELS)
    events = _records(newest, "change_event")
    told = {
        (record["mode"], record["headers"]["ce_type"], record["value"].get("presence", "present"))
        for record in events
        if record["mode"] == "binary"
    }
    kinds = [f"o2c.{name}.changed.v1" for name in type_names]
    assert told == {("binary", kind, presence) for kind in kinds for presence in ("present", "deleted")}
    assert len(events) == 3 * len(told)
    assert {record["value"]["capability"] for record in _records(newest, "command")} == set(get_args(Capability))
    assert {record["value"]["outcome"] for record in _records(newest, "result")} == set(get_args(Outcome))


# ---------------------------------------------------------------------------------------------- published documents


def test_the_committed_documents_are_those_of_the_code(root: Path) -> None:
    folder = root / "schemas" / "generated"
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")} == documents()


@pytest.mark.parametrize("name", [name for name in documents() if name.endswith(".schema.json")])
def test_each_schema_is_a_json_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(documents()[name]))


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = asyncapi()
    references = set(_references(document))
    assert references
    for reference in references:
        place: Any = document
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
        assert place


def test_every_topic_that_is_published_has_a_channel() -> None:
    addresses = {channel["address"] for channel in asyncapi()["channels"].values()}
    assert addresses == {topic.name for topic in TOPICS if topic.public}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "$ref" else _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_the_asyncapi_document_is_one(root: Path) -> None:
    """By the official schema of AsyncAPI 3.0.0, which no Python package carries: see tests/fixtures/asyncapi."""
    official = json.loads((root / "tests" / "fixtures" / "asyncapi" / "asyncapi-3.0.0.json").read_text("utf-8"))
    validator = jsonschema.Draft7Validator(official)
    document = asyncapi()
    assert [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)] == []
    del document["info"]["version"]
    assert not validator.is_valid(document)
