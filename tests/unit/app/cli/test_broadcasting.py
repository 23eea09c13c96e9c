"""Pauses and modes name something that the configuration knows, before anything is published."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli import main

CONFIG = """
data_dir = "data"
key = "a long random text for tests"
[[tenant]]
name = "acme"
[tenant.connections.shop]
platform = "shopify"
account = "s"
[tenant.connections.books]
platform = "xero"
account = "b"
[[tenant.flows]]
name = "web"
key_giver = "shop"
"""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["connections", "pause", "book"], "name one of books, shop."),
        (["connections", "resume", "web"], "name one of books, shop."),
        (["flows", "mode", "books", "live"], "name one of web."),
    ],
)
def test_what_is_not_configured_is_refused_with_what_is(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "o2c.toml"
    config.write_text(CONFIG, encoding="utf-8")
    assert main([*words, "--config", str(config)]) == 2
    assert named in capsys.readouterr().err


def test_a_mode_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["flows", "mode", "web", "paused"])
    assert ended.value.code == 2
    assert "'live'" in capsys.readouterr().err
