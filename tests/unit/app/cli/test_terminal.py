"""What `o2c connect` asks a person at a terminal."""

from __future__ import annotations

import getpass
import io
import sys
from typing import TextIO

import pytest

from app.cli.connect import Terminal
from app.connecting.choosing import Reached
from app.core.errors import ConfigError

THERE = (Reached("a-1", "Alpha"), Reached("b-2"))


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "picked"), [("2\n", "b-2"), (" 1 \n", "a-1"), ("3\n", "3"), ("0\n", "0"), ("\n", "")]
)
def test_an_account_is_picked_by_its_number(
    typed: str, picked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Tty(typed))
    assert Terminal("books", browser=False).pick(THERE) == picked
    out, err = capsys.readouterr()
    assert out == "", "standard output is for the result"
    assert "  1  a-1 (Alpha)\n  2  b-2\n" in err


def test_nobody_is_asked_where_nobody_sits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n"))
    with pytest.raises(ConfigError, match=r"a-1 \(Alpha\), b-2; run `o2c connect books --account ID`"):
        Terminal("books", browser=False).pick(THERE)


async def test_a_key_is_typed_without_an_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def typed(prompt: str, stream: TextIO) -> str:
        asked.append(prompt)
        assert stream is sys.stderr
        return " sk_1 "

    monkeypatch.setattr(sys, "stdin", Tty(""))
    monkeypatch.setattr(getpass, "getpass", typed)
    assert await Terminal("pay", browser=False).key("Stripe") == "sk_1"
    assert asked == ["Key of Stripe (not shown): "]
