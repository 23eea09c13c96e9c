"""Apache Kafka's jars: fetched once by coordinates into the cache, trusted only when their SHA-256 is pinned."""

from __future__ import annotations

import fcntl
import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jgo.config import GlobalSettings
from jgo.constants import MAVEN_CENTRAL_URL
from jgo.maven import MavenContext, PythonResolver
from requests import RequestException

from app.core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

KAFKA_VERSION = "4.3.1"
_PINS = "jars.sha256"
_AT_ONCE = 8
_NEXT_STEP = "check the network, or set O2C_KAFKA to the address of a Kafka that already runs"


class Jar(NamedTuple):
    """One pinned artifact."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """Return the file name, which is how people know a jar."""
        return f"{self.artifact}-{self.version}.jar"

    def path(self, repository: Path) -> Path:
        """Return where the jar lies in a repository of Maven's layout."""
        return repository.joinpath(*self.group.split("."), self.artifact, self.version, self.name)


def pinned() -> tuple[Jar, ...]:
    """Return every jar that a broker needs, as app/broker/jars.sha256 pins it."""
    return parse_pins(files("app.broker").joinpath(_PINS).read_text(encoding="ascii"))


def parse_pins(text: str) -> tuple[Jar, ...]:
    """Return the jars of lines `SHA-256  group:artifact:version`; lines starting with # are comments."""
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(_jar(digest, *coordinate.split(":")) for digest, coordinate in lines)


def _jar(digest: str, group: str, artifact: str, version: str) -> Jar:
    return Jar(group, artifact, version, digest)


def cache_dir(environment: Mapping[str, str]) -> Path:
    """Return the folder for what is fetched once: O2C_CACHE, else o2c in the XDG cache folder."""
    if own := environment.get("O2C_CACHE"):
        return Path(own).expanduser().absolute()
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "o2c"


def class_path(cache: Path, jars: tuple[Jar, ...] | None = None) -> tuple[Path, ...]:
    """Return the verified jars, fetching those that are missing; takes seconds, so call it from a thread.

    Several processes may call it at once: a lock in the cache makes one of them fetch.
    """
    jars = pinned() if jars is None else jars
    repository = cache / "maven"
    with _locked(cache):
        wrong = [jar for jar in jars if not _is_pinned(jar, repository)]
        if wrong:
            _fetch(wrong, repository)
    return tuple(jar.path(repository) for jar in jars)


def _fetch(jars: list[Jar], repository: Path) -> None:
    remotes = {"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories}
    context = MavenContext(resolver=PythonResolver(), repo_cache=repository, remote_repos=remotes)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for jar, problem in zip(jars, pool.map(lambda jar: _fetch_one(jar, context, repository), jars), strict=True):
            if problem:
                raise ConfigError(f"{jar.name} of Apache Kafka {KAFKA_VERSION} {problem}; {_NEXT_STEP}.")


def _fetch_one(jar: Jar, context: MavenContext, repository: Path) -> str:
    """Fetch *jar* and return what is wrong with it, nothing when it is the pinned one."""
    path = jar.path(repository)
    path.unlink(missing_ok=True)  # left by an interrupted run: the resolver would take any file that is there
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    try:
        artifact.resolve()
    except (OSError, RequestException, RuntimeError) as error:
        return f"cannot be fetched ({type(error).__name__})"
    if _is_pinned(jar, repository):
        return ""
    path.unlink(missing_ok=True)
    return "was fetched but its SHA-256 is not the pinned one"


def _is_pinned(jar: Jar, repository: Path) -> bool:
    path = jar.path(repository)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = (cache / "maven.lock").open("w")
    except OSError as error:
        message = f"The cache folder {cache} cannot be written ({error.strerror}); set O2C_CACHE to one that can."
        raise ConfigError(message) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
