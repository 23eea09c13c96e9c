"""Read the configuration files; every complaint names file, line and key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from app.config.kafka import CERTIFICATES
from app.config.lines import line_of
from app.config.model import Settings, TenantConfig
from app.core.errors import ConfigError

_Model = TypeVar("_Model", Settings, TenantConfig)
_PREFIXES = ("env:", "file:")
_AT_LINE = re.compile(r"at line (\d+)")


def load(path: Path, environment: Mapping[str, str], drafts: Mapping[Path, str] | None = None) -> Settings:
    """Return the settings in *path* and its tenant files; ConfigError tells file, line, key and what to do.

    `env:NAME` and `file:PATH` values are replaced here, relative paths are those of the file they stand in. A file that
    is among *drafts* is taken as it reads there.
    """
    drafts = drafts or {}
    table, text = _table(path, drafts)
    patterns = table.pop("tenant_files", [])
    own = [
        _tenant(path, text, entry, environment, ("tenant", position))
        for position, entry in enumerate(table.pop("tenant", []))
    ]
    tenants = own + [_tenant_file(file, environment, drafts) for file in tenant_files(path, patterns)]
    table.setdefault("data_dir", "data")
    table["data_dir"] = str((path.parent / table["data_dir"]).resolve())
    table["tenants"] = tenants
    table = _resolved(table, path, text, environment)
    _place_certificates(table.get("kafka"), path.parent)
    return _checked(Settings, path, text, table)


def _place_certificates(kafka: object, folder: Path) -> None:
    """Have relative paths of certificates begin in *folder*."""
    if isinstance(kafka, dict):
        there = [name for name in CERTIFICATES if kafka.get(name) and isinstance(kafka[name], str)]
        kafka.update({name: str(folder / kafka[name]) for name in there})


def _table(path: Path, drafts: Mapping[Path, str]) -> tuple[dict[str, Any], str]:
    try:
        text = drafts[path] if path in drafts else path.read_text(encoding="utf-8")
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); write one with `o2c init`."
        raise ConfigError(message) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}:1: the file is not UTF-8; save it as UTF-8.") from error
    try:
        return tomllib.loads(text), text
    except tomllib.TOMLDecodeError as error:
        told = _AT_LINE.search(str(error))
        line = told[1] if told else "1"
        raise ConfigError(f"{path}:{line}: this is not valid TOML ({error}); correct it.") from error


def tenant_files(path: Path, patterns: list[str]) -> Iterator[Path]:
    """Yield the files that *patterns* of the main file at *path* name; ConfigError when one names none."""
    for pattern in patterns:
        found = sorted(path.parent.glob(pattern))
        if not found:
            message = f"{path}:1: tenant_files names {pattern!r}, which matches no file; correct the pattern."
            raise ConfigError(message)
        yield from found


def _tenant_file(path: Path, environment: Mapping[str, str], drafts: Mapping[Path, str]) -> TenantConfig:
    table, text = _table(path, drafts)
    return _tenant(path, text, table, environment)


def _tenant(
    path: Path,
    text: str,
    table: dict[str, Any],
    environment: Mapping[str, str],
    within: tuple[int | str, ...] = (),
) -> TenantConfig:
    if "name" in table:
        table = {"tenant": table["name"], **{key: value for key, value in table.items() if key != "name"}}
    return _checked(TenantConfig, path, text, _resolved(table, path, text, environment), within)


def _resolved(table: dict[str, Any], path: Path, text: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return *table* with its references replaced; ConfigError names every one that leads nowhere."""
    wrong: list[str] = []
    found: dict[str, Any] = _resolve(table, path, text, environment, wrong)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return found


def _resolve(value: Any, path: Path, text: str, environment: Mapping[str, str], wrong: list[str]) -> Any:  # noqa: ANN401 - any TOML value
    if isinstance(value, dict):
        return {key: _resolve(item, path, text, environment, wrong) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, path, text, environment, wrong) for item in value]
    if isinstance(value, str) and value.startswith(_PREFIXES):
        try:
            return _secret(value, path, environment)
        except ConfigError as error:
            wrong.append(f"{path}:{_line_with(text, value)}: {error}")
    return value


def _line_with(text: str, value: str) -> int:
    lines = enumerate(text.splitlines(), start=1)
    return next((number for number, line in lines if value in line and not line.lstrip().startswith("#")), 1)


def _secret(value: str, path: Path, environment: Mapping[str, str]) -> str:
    kind, _, name = value.partition(":")
    if kind == "env":
        if name not in environment:
            raise ConfigError(f"the environment variable {name} is not set; set it or change the reference.")
        return environment[name]
    try:
        return (path.parent / name).read_text(encoding="utf-8").strip()
    except OSError as error:
        message = f"the secret file {name} cannot be read ({error.strerror}); write it or change the reference."
        raise ConfigError(message) from error


def _checked(
    model: type[_Model],
    path: Path,
    text: str,
    table: dict[str, Any],
    within: tuple[int | str, ...] = (),
) -> _Model:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise ConfigError(_complaints(path, text, within, error)) from error


def _complaints(path: Path, text: str, within: tuple[int | str, ...], error: ValidationError) -> str:
    lines = []
    for detail in error.errors():
        lines.append(_complaint(path, text, (*within, *detail["loc"]), detail["msg"]))  # noqa: PERF401 - mypy loses the type in a comprehension
    return "\n".join(lines)


def _complaint(path: Path, text: str, where: tuple[int | str, ...], what: str) -> str:
    line = line_of(text, where)
    key = ".".join(str(part) for part in where) or "file"
    return f"{path}:{line}: {key}: {what}"
