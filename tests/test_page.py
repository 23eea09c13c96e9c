"""The runner of documentation pages: what it takes for a command, for output, and for a difference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.cli import new_parser
from tests.page import Block, Terminal, blocks, calls, matches

PAGE = """\
# A page
```sh
echo one
```
```text
one
```
```toml
key = "no command"
```
```sh exits 3
false
exit_with() { return 3; }
exit_with
```

Words between.

```sh again
date
```
Words before it.
```text
what belongs to no command
```
"""


def test_commands_and_what_they_print_are_found() -> None:
    first, second, third = blocks(PAGE)
    assert (first.commands, first.expected, first.exits, first.again, first.line) == (
        "echo one\n",
        "one\n",
        0,
        False,
        2,
    )
    assert (second.expected, second.exits) == (None, 3)
    assert (third.commands, third.expected, third.again) == ("date\n", None, True)


def test_calls_are_found_wherever_they_stand_in_a_line() -> None:
    block = _block(
        "(sleep 5; o2c sandbox order > a) &\no2c run 2> b | tee c\necho k | o2c connect 'my crm'\necho o2c\n"
    )
    assert list(calls(block)) == [["sandbox", "order"], ["run"], ["connect", "my crm"], []]


def test_every_command_of_the_first_hour_is_one_and_takes_its_words(root: Path) -> None:
    found = [call for block in blocks((root / "docs/getting-started.md").read_text()) for call in calls(block)]
    assert len(found) > 20
    for words in found:
        assert new_parser(words[0]).parse_args(words)


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a  b\n", "a     b  \n", True),
        ("a b\n", "a c\n", False),
        ("at <time>, <id>\n", "at 12:00, x y\n", True),
        ("at <time>\n", "at \n", False),
        ("a\n...\nz\n", "a\nb\nc\nz\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("a\n...\nz\n", "a\nb\nz\ny\n", False),
        ("a (1+1)\n", "a (1+1)\n", True),
        ("a\n", "a\nb\n", False),
        ("<a>\n", "a\nb\n", False),
    ],
)
def test_placeholders_stand_for_anything_within_a_line(expected: str, printed: str, same: bool) -> None:  # noqa: FBT001 - a row
    assert matches(expected, printed) is same


def _block(commands: str, expected: str | None = None, exits: int = 0, *, again: bool = False) -> Block:
    return Block(1, 1, commands, expected, exits, again)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path


def test_a_terminal_remembers_and_says_what_is_not_as_the_page_says(folder: Path) -> None:
    terminal = Terminal(folder, folder / "out", {"PATH": os.environ["PATH"]})
    try:
        terminal.run(_block("mkdir x && cd x\nexport WORD=one\nsleep 30 &\nSLEEPER=$!\n"), 5)
        assert terminal.run(_block('echo "$WORD" "${PWD##*/}"\n', "one x\n"), 5) == "one x\n"
        terminal.run(_block('kill "$SLEEPER"\nwait "$SLEEPER"\n', exits=143), 5)
        terminal.run(_block("cat\n", ""), 5)  # nobody types
        with pytest.raises(AssertionError, match="line 1 does not do what the page says: it exits 0"):
            terminal.run(_block("echo two\n", "three\n"), 5)
        with pytest.raises(AssertionError, match="failed: false"):
            terminal.run(_block("false\ntrue\n"), 5)
        with pytest.raises(AssertionError, match="it exits 1"):
            terminal.run(_block("true; false\n", exits=2), 5)
        counting = "echo x >> count\nwc -l < count\n"
        assert terminal.run(_block(counting, "3\n", again=True), 20).strip() == "3"
    finally:
        terminal.close()
