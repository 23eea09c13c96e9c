"""Put accepted lines into the configuration: nothing else of it changes, and a file that cannot be loaded stays."""

from __future__ import annotations

import os
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import InlineTable, Item, Table

from app.check.lines import Line, as_toml, toml_key
from app.check.problems import Places
from app.config.load import load
from app.core.errors import ConfigError

Accepted = Mapping[Line, str]
"""Line -> the value to write."""


def write(path: Path, environment: Mapping[str, str], accepted: Accepted) -> list[Path]:
    """Write *accepted* into the configuration at *path* and its tenants' files; return the files that changed.

    Comments and layout stay. The whole is loaded before a file is replaced, each at once; ConfigError when it could not
    be, or when somebody changed a file meanwhile.
    """
    places = Places(path)
    files: dict[Path, dict[Line, str]] = {}
    for line, value in accepted.items():
        files.setdefault(places.file(line.tenant)[0], {})[line] = value
    before = {file: file.read_bytes() for file in files}
    after = {file: _changed(file, before[file], places, lines) for file, lines in files.items()}
    load(path, environment, after)
    for file, text in after.items():
        if file.read_bytes() != before[file]:
            raise ConfigError(f"{file} was changed meanwhile; run `o2c check --write` again.")
        _replace(file, text)
    return list(after)


def _changed(file: Path, before: bytes, places: Places, lines: Accepted) -> str:
    """Return the text of *file* with *lines*, having made sure that it says that and nothing else."""
    text = before.decode("utf-8")
    document, wanted = tomlkit.parse(text), tomllib.loads(text)
    try:
        for line, value in lines.items():
            within = (*places.file(line.tenant)[1], "connections", line.connection)
            _put(_at(document, within), line.key, value, _append)
            _put(_at(wanted, within), line.key, value, dict.__setitem__)
        result = tomlkit.dumps(document)
        if before.count(b"\r\n") == before.count(b"\n"):
            result = result.replace("\r\n", "\n").replace("\n", "\r\n")
        if tomllib.loads(result) == wanted:
            return result
    except (TOMLKitError, tomllib.TOMLDecodeError, LookupError, TypeError, ValueError):
        pass  # nothing was written; the person is told below
    listed = ", ".join(as_toml(line).partition("  # ")[0] for line in lines)
    raise ConfigError(f"{file} is laid out so that nothing can be added safely; add by hand: {listed}.")


def _at(table: Any, within: Iterable[int | str]) -> Any:  # noqa: ANN401 - a part of any TOML document
    for key in within:
        table = table[key]
    return table


def _put(section: Any, key: str, value: str, add: Any) -> None:  # noqa: ANN401 - a table of tomlkit or a dict
    """Set *key* of a section, or that of its table, as in "accounts.sales"."""
    table, dot, name = key.partition(".")
    if not dot:
        _set(section, key, value, add)
    elif isinstance(section, dict) and not isinstance(section, Item):
        section.setdefault(table, {})[name] = value
    elif table in section and not isinstance(section[table], InlineTable):
        _set(section[table], name, value, add)
    else:
        _set(section, table, _inline({**section.get(table, {}), name: value}), add)


def _inline(values: Mapping[str, Any]) -> Item:
    """Return an inline table with the blanks that people put into one."""
    pairs = (f"{toml_key(key)} = {tomlkit.item(value).as_string()}" for key, value in values.items())
    return tomlkit.value(f"{{ {', '.join(pairs)} }}")


def _set(table: Any, key: str, value: Any, add: Any) -> None:  # noqa: ANN401
    if key in table:
        table[key] = value
    else:
        add(table, key, value)


def _append(table: Any, key: str, value: Any) -> None:  # noqa: ANN401
    """Add a key behind the last one: what stands between it and the next header (which it may explain) stays behind."""
    tail = []
    if isinstance(table, Table):
        body = table.value.body
        while body and body[-1][0] is None:
            tail.append(body.pop()[1])
    table[key] = value
    for item in reversed(tail):
        table.add(item)


def _replace(file: Path, text: str) -> None:
    """Replace *file* at once, keeping its mode; where it is a link, what that leads to."""
    target = file.resolve()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as draft:
            draft.write(text.encode("utf-8"))
            draft.flush()
            os.fsync(draft.fileno())
        Path(name).chmod(target.stat().st_mode & 0o7777)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)  # gone already where it took the place
