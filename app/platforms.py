"""Find platforms by where they live: no list to edit. An import error stops the process, loudly."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files

import msgspec

from app.core.errors import ConfigError
from schemas.platform import Platform
from sinks.base import Sink
from streams.sources.base import Source

GROUP = "o2c.platforms"
_FOLDERS = ("schemas.platforms", "streams.sources.platforms", "sinks.platforms")


class Loaded(msgspec.Struct, frozen=True):
    """The three parts of one platform."""

    platform: Platform
    source: type[Source]
    sink: type[Sink]


def slugs() -> tuple[str, ...]:
    """Return every platform that has all three files, and those of other packages, sorted."""
    found = [{_stem(path.name) for path in files(folder).iterdir()} for folder in _FOLDERS]
    own = set.intersection(*found) - {"", "__init__"}
    return tuple(sorted(own | {entry.name for entry in entry_points(group=GROUP)}))


def _stem(name: str) -> str:
    return name.removesuffix(".py") if name.endswith(".py") or ("." not in name and not name.startswith("_")) else ""


@cache  # what is installed does not change, and to look for it reads the metadata of every package
def load(slug: str) -> Loaded:
    """Return the parts of *slug*; ConfigError names the platforms there are."""
    for entry in entry_points(group=GROUP, name=slug):
        loaded = entry.load()
        if isinstance(loaded, Loaded):
            return loaded
    if slug not in slugs():
        raise ConfigError(f"There is no platform {slug!r}; there are {', '.join(slugs())}.")
    facts, source, sink = (importlib.import_module(f"{folder}.{slug}") for folder in _FOLDERS)
    return Loaded(facts.PLATFORM, source.SOURCE, sink.SINK)
