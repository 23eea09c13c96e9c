"""Every platform that signs webhooks says what it is asked to tell and how that is registered."""

from __future__ import annotations

import inspect
import re
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app import platforms
from app.platforms import Loaded
from schemas.connection import Connection
from streams.sources.base import Hook, Source

SIGNED = [slug for slug in platforms.slugs() if platforms.load(slug).platform.signature_headers]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STRANGE = (
    "",
    "Ü",
    "\\xff",
    "²",
    "-1",
    "9" * 400,
    "9" * 5_000,
    f"{NOW.timestamp():.0f}",
    f"{NOW.timestamp() * 1000:.0f}",
)
"""What a stranger may put where a time or a signature belongs; other bytes than UTF-8 the gateway has escaped."""


@pytest.fixture(params=SIGNED)
def loaded(request: pytest.FixtureRequest) -> Loaded:
    return platforms.load(request.param)


def _source(loaded: Loaded, **options: str) -> Source:
    slug = loaded.platform.slug
    return loaded.source(Connection(name="x", tenant="acme", platform=slug, account="1", options=options))


def test_every_signed_platform_says_what_it_wants_to_be_told(loaded: Loaded) -> None:
    topics = _source(loaded).topics()
    assert topics
    assert len(topics) == len(set(topics))


def test_there_is_an_api_or_there_are_steps_for_a_person(loaded: Loaded) -> None:
    source = _source(loaded)
    assert source.subscriber() is not None or source.webhooks.steps
    for step in source.webhooks.steps:
        named = {name for _, name, _, _ in string.Formatter().parse(step) if name}
        assert named <= {"address", "topics"}
    if source.webhooks.steps:
        assert "{address}" in "".join(source.webhooks.steps)
        assert "{topics}" in "".join(source.webhooks.steps)


def test_an_api_with_a_key_of_its_own_says_which_and_what_a_person_does_without(loaded: Loaded) -> None:
    hooks = loaded.source.webhooks
    if hooks.key:
        assert hooks.key_param
        assert hooks.option in loaded.platform.options
        assert hooks.rights
        assert hooks.steps
        assert _source(loaded, **{hooks.option: "1"}).subscriber() is not None


def test_a_journal_is_followed_where_its_option_says_so_and_nowhere_else(loaded: Loaded) -> None:
    journal = loaded.source.journal
    assert _source(loaded).follows is None
    if journal is None:
        return
    for choice in journal.choices:
        source = _source(loaded, **{journal.option: choice})
        assert source.follows is not None
        assert source.follows.option in loaded.platform.options
        assert source.follows.auth.kind == "client_credentials"
        keys = [wanted.key for wanted in source.journal_subscriber().wanted("", ())]
        assert len(keys) == len(set(keys)) > 0
        first = next(source.entry(""))
        assert (first.mutates, first.bare) == (False, False)


def test_every_header_that_is_read_is_named_since_all_others_are_forgotten(loaded: Loaded) -> None:
    file = Path(inspect.getfile(loaded.source))
    files = file.parent.glob("*.py") if file.parent.name == loaded.platform.slug else [file]
    read = {name for one in files for name in re.findall(r'hook\.headers\.get\(\s*"([^"]+)"', one.read_text("utf-8"))}
    assert read, "the pattern fits no longer"
    assert read == {*loaded.platform.signature_headers, *loaded.platform.delivery_headers}


@pytest.mark.parametrize("strange", STRANGE, ids=lambda text: text[:15])
def test_whatever_a_stranger_puts_into_the_headers_a_delivery_is_refused_not_tripped_over(
    loaded: Loaded, strange: str
) -> None:
    source, names = _source(loaded), loaded.platform.signature_headers
    for value in (strange, f"t={strange},v1={strange}", f"t={NOW.timestamp():.0f},v1={strange}", f"v1={strange}"):
        headers = dict.fromkeys((*names, *loaded.platform.delivery_headers), value)
        mixed = {**headers, **{name: strange for name in names if "timestamp" in name}}
        for told in (headers, mixed):
            hook = Hook(url="https://hooks.example.com/x", headers=told, body=b'{"id":1}')
            assert not source.verify(hook, ["secret", "another"], NOW)
            assert source.refused(hook).status in {400, 401, 403}
