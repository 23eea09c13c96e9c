"""Stoplight's Prism as a judge of requests: it runs on the vendor's own OpenAPI files.

Prism 5 lets every body pass whose schema is used in more than one place or refers to itself (its issues 2574 and 2591).
So it is given the same files with each reference written out; what is nested deeper than `_LEVELS` named schemas is not
judged. Objects are closed: a field that the vendor does not know is an error.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from app.core.talk import Request

_LEVELS = 4
_START_SECONDS = 240
_METHODS = ("get", "put", "post", "patch", "delete")
_OK = 300


class Judge:
    """A running mock; remembers what it was asked, so that equal requests are judged once."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._url, self._session = url, requests.Session()
        self._session.headers.update(headers)
        self._judged: dict[tuple[str, str, tuple[tuple[str, str], ...], bytes], str] = {}

    @property
    def judged(self) -> int:
        """Return how many different requests were judged."""
        return len(self._judged)

    def objections(self, seen: Iterable[Request]) -> list[str]:
        """Return what the mock has against each of the requests; nothing when it accepts them all."""
        return [f"{one.method} {one.path}: {wrong}" for one in seen if (wrong := self._objection(one))]

    def _objection(self, request: Request) -> str:
        body, type_ = request.content()
        headers = {**request.headers, "Accept": "application/json", **({"Content-Type": type_} if type_ else {})}
        if request.key_in.startswith("header:"):
            headers[request.key_in.removeprefix("header:")] = request.key or "key"
        known = (request.method, request.path, tuple(sorted((headers | dict(request.params)).items())), body)
        if known not in self._judged:
            reply = self._session.request(
                request.method, self._url + request.path, params=request.params, headers=headers, data=body, timeout=60
            )
            refused = reply.status_code >= _OK or reply.headers.get("sl-violations")
            self._judged[known] = f"{reply.status_code} {reply.text[-600:]}" if refused else ""
        return self._judged[known]


@contextmanager
def judging(
    prism: Path, folder: Path, files: Iterable[Path], headers: Mapping[str, str], also: Mapping[str, str]
) -> Iterator[Judge]:
    """Run the mock on *files*; it refuses what they do not allow. *also*: a path's other name -> its name there."""
    written, log = folder / "openapi.json", folder / "prism.log"
    written.write_text(json.dumps(written_out([_load(file) for file in files], also), default=str), encoding="utf-8")
    command = [str(prism), "mock", "--host", "127.0.0.1", "--port", "0", "--errors", str(written)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield Judge(_address(process, log), headers)
        finally:
            process.terminate()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the mock says where it listens."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        _, said, rest = log.read_text(encoding="utf-8").partition("listening on ")
        if said and "\n" in rest:
            return rest.split()[0]
        time.sleep(0.2)
    raise AssertionError(f"prism does not listen: {log.read_text(encoding='utf-8')[-600:]}")


def _load(file: Path) -> dict[str, Any]:
    text = file.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text) if file.suffix == ".json" else yaml.load(text, yaml.CSafeLoader)
    return found


def written_out(documents: Iterable[dict[str, Any]], also: Mapping[str, str]) -> dict[str, Any]:
    """Return one document with the operations of all, each request written out, each answer only its status."""
    paths: dict[str, Any] = {}
    for document in documents:
        for path, item in document["paths"].items():
            shared = item.get("parameters", [])
            operations = {name: _operation(document, item[name], shared) for name in _METHODS if name in item}
            paths.setdefault(path, {}).update(operations)
    shapes = Counter(map(_shape, paths))
    for path, item in paths.items():
        if shapes[_shape(path)] > 1:
            _loosen(item)
    for name, there in also.items():
        paths |= {path.replace(there, name): item for path, item in paths.items() if path.startswith(there)}
    return {"openapi": "3.0.0", "info": {"title": "requests", "version": "1"}, "paths": paths}


def _shape(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


def _loosen(item: dict[str, Any]) -> None:
    """Let any text stand in a path where the file has two names for one place: the mock always takes the first."""
    for operation in item.values():
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                parameter["schema"] = {"type": "string"}


def _operation(document: dict[str, Any], operation: dict[str, Any], shared: list[Any]) -> dict[str, Any]:
    parameters = [_inline(document, part) for part in (*shared, *operation.get("parameters", []))]
    found = {"parameters": parameters, "responses": {"200": {"description": "accepted"}}}
    if "requestBody" in operation:
        found["requestBody"] = _inline(document, operation["requestBody"])
    return found


def _inline(document: dict[str, Any], part: Any, above: tuple[str, ...] = ()) -> Any:
    """Return *part* with its references written out; anything goes where one leads back or too deep."""
    if isinstance(part, list):
        return [_inline(document, item, above) for item in part]
    if not isinstance(part, dict):
        return part
    if isinstance(name := part.get("$ref"), str):
        if name in above or len(above) > _LEVELS:
            return {}
        found: Any = document
        for step in name.removeprefix("#/").split("/"):
            found = found[step]
        return _inline(document, found, (*above, name))
    found = {key: _inline(document, value, above) for key, value in part.items() if key != "example"}
    closed = found.get("type") == "object" and "properties" in found and "additionalProperties" not in found
    return {**found, "additionalProperties": False} if closed else found
