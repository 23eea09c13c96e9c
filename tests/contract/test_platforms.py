"""The common promises of every platform, found by folder: a missing answer fails here."""

from __future__ import annotations

import ast
import contextlib
import inspect
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from app import platforms
from app.core.errors import DecodeError, O2CError, RateLimited, RetryableError, UncertainError
from app.core.status import from_status
from app.core.talk import Response
from schemas.commands import Capability
from schemas.connection import Connection
from schemas.facts import type_names
from schemas.platform import Effect, Words
from sinks.base import Sink
from streams.sources.base import Hook, Source

WORDS = set(get_args(Words))
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SLUGS = platforms.slugs()
FIELDS = {
    "number", "currency", "payable_amount", "note", "po_number", "email", "status", "lines", "issue_date", "due_date",
    "amount", "date", "reference", "carrier", "tracking",
}  # fmt: skip
RUBBISH = (b"", b"[", b"null", b"[]", b"{}", b'{"events": 1}', b'[{"objectId": {}}]', b"\xff\xfe", b"[" * 5_000)


def _connection(slug: str) -> Connection:
    return Connection(name=slug, tenant="acme", platform=slug, account="account-1")


@pytest.fixture(params=SLUGS)
def loaded(request: pytest.FixtureRequest) -> platforms.Loaded:
    found: platforms.Loaded = platforms.load(request.param)
    return found


@pytest.fixture
def source(loaded: platforms.Loaded) -> Source:
    return loaded.source(_connection(loaded.platform.slug))


@pytest.fixture
def sink(loaded: platforms.Loaded) -> Sink:
    return loaded.sink(_connection(loaded.platform.slug))


def test_the_first_platforms_are_found() -> None:
    assert set(SLUGS) >= {"stripe"}


def test_the_three_parts_speak_of_the_same_platform(loaded: platforms.Loaded) -> None:
    assert loaded.source.platform is loaded.platform
    assert loaded.sink.platform is loaded.platform
    assert loaded.platform.docs.startswith("https://")
    assert bool(loaded.platform.secrets) == (loaded.platform.slug != "external"), "another service is never called"


def test_object_types_and_status_words_are_canonical(loaded: platforms.Loaded) -> None:
    platform = loaded.platform
    assert set(platform.objects.values()) <= set(type_names)
    assert set(platform.statuses.values()) <= WORDS
    assert {key.partition(":")[0] for key in platform.statuses} <= set(platform.objects)
    assert set(platform.consistency.monotonic) <= set(platform.objects)


def test_every_capability_is_a_generator_method_and_every_method_is_declared(loaded: platforms.Loaded) -> None:
    wanted = set(loaded.platform.capabilities)
    there = {name for name in get_args(Capability) if name in vars(loaded.sink)}
    assert there == wanted
    for name in wanted:
        assert inspect.isgeneratorfunction(getattr(loaded.sink, name)), name


def test_what_is_asked_of_the_customer_or_moves_money_is_said_so(loaded: platforms.Loaded) -> None:
    capabilities = loaded.platform.capabilities
    assert capabilities.get("request_payment", Effect.CONTACTS_CUSTOMER) is Effect.CONTACTS_CUSTOMER
    for name in ("upsert_order", "upsert_invoice", "record_payment", "set_status", "add_note"):
        assert capabilities.get(name, Effect.RECORDS) is Effect.RECORDS, name


def test_shown_fields_are_fields_of_the_projection(loaded: platforms.Loaded) -> None:
    for capability, fields in loaded.platform.shows.items():
        assert capability in loaded.platform.capabilities
        assert fields <= FIELDS, capability


def test_what_an_option_adds_belongs_to_a_declared_option_and_a_shown_capability(loaded: platforms.Loaded) -> None:
    platform = loaded.platform
    for option, added in platform.shows_by_option.items():
        assert option in platform.options
        for capability, fields in added.items():
            assert not platform.shown(capability, {option: ""}) & fields  # type: ignore[operator]
            assert platform.shown(capability, {option: "x"}) == platform.shows[capability] | fields
            assert fields <= FIELDS


def test_settle_time_covers_the_longest_request(loaded: platforms.Loaded) -> None:
    platform = loaded.platform
    assert platform.consistency.settle_seconds >= platform.limits.timeout_seconds
    assert platform.limits.windows or platform.limits.points


def test_a_sink_answers_probe_and_reread(loaded: platforms.Loaded) -> None:
    for name in ("probe", "reread", "classify"):
        assert getattr(loaded.sink, name) is not getattr(Sink, name), name


def test_a_source_answers_every_question(loaded: platforms.Loaded) -> None:
    for name in ("verify", "hints", "parse", "read", "sweeps", "sweep", "identify"):
        assert getattr(loaded.source, name) is not getattr(Source, name), name


def test_an_unsigned_hook_is_never_genuine(source: Source) -> None:
    hook = Hook(url="https://hooks.example.com/x", body=b'{"id":1}')
    assert not source.verify(hook, ["secret"], NOW)
    assert not source.verify(hook, [], NOW)
    assert source.refused(hook).status in {400, 401, 403}


@pytest.mark.parametrize("body", RUBBISH)
def test_rubbish_is_a_decode_error_or_nothing(source: Source, body: bytes) -> None:
    hook = Hook(url="https://hooks.example.com/x", body=body)
    for question in (source.to_events, source.hints):
        with contextlib.suppress(DecodeError):
            assert question(hook) == []


def test_errors_are_classified(sink: Sink) -> None:
    throttled = sink.classify(Response(status=429, headers={"retry-after": "7"}, body=b"{}"), mutating=True)
    assert isinstance(throttled, RateLimited)
    assert throttled.retry_after == pytest.approx(7)
    broken = Response(status=502, body=b"<html>Bad gateway</html>")
    assert isinstance(sink.classify(broken, mutating=True), UncertainError)
    assert isinstance(sink.classify(broken, mutating=False), O2CError)
    assert isinstance(sink.classify(Response(status=401, body=b"{}"), mutating=False), O2CError)


def test_a_page_instead_of_a_record_says_nothing_about_a_write_and_is_no_record_to_read(sink: Sink) -> None:
    page = Response(status=200, headers={"content-type": "text/html"}, body=b"<html>Just a moment...</html>")
    assert isinstance(sink.classify(page, mutating=True), UncertainError)
    assert isinstance(sink.classify(page, mutating=False), RetryableError)
    for mutating, error in ((True, UncertainError), (False, RetryableError)):
        assert isinstance(from_status("Any", page, mutating=mutating), error)
    assert from_status("Any", Response(status=200, body=b"<?xml?><html/>"), mutating=True) is None


def test_an_error_message_never_quotes_the_body(sink: Sink) -> None:
    body = msgspec.json.encode({"error": {"message": "ada@example.com"}, "message": "ada@example.com"})
    for status in (400, 401, 404, 409, 422, 500):
        error = sink.classify(Response(status=status, body=body), mutating=True)
        assert "ada@example.com" not in str(error)


def test_a_platform_imports_no_other_platform_and_no_other_side(root: Path) -> None:
    for folder, forbidden in (
        ("schemas/platforms", ("app", "streams", "sinks")),
        ("streams/sources/platforms", ("sinks",)),
        ("sinks/platforms", ("streams",)),
        ("app/sandbox/platforms", ("schemas", "streams", "sinks")),
    ):
        for path in (root / folder).rglob("*.py"):
            slug = path.relative_to(root / folder).parts[0].removesuffix(".py")
            for module in _imports(path):
                assert module.split(".")[0] not in forbidden, f"{path}: {module}"
                others = [part for part in module.split(".") if part in SLUGS and part != slug]
                assert not others, f"{path}: {module}"


def _imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if not alias.name.startswith(SLUGS)]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            vendor = node.module.split(".")[0] in SLUGS
            found += [] if vendor else [f"{node.module}.{alias.name}" for alias in node.names]
    return found
