"""Run the command blocks of a page of the documentation, in one shell, and compare what they print with the page.

A block ```sh is run; a block ```text right after it is what it prints: `<words>` stand for anything within a line, a line
of `...` for any lines, and several blanks count as one. Without such a block nothing is expected of the output. After
the language a block may say `exits 1` (its last command does, others of it may fail) or `again` (a person repeats it
until it shows what the page says).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_POLL_SECONDS, _AGAIN_SECONDS, _LONGEST_SECONDS = 0.1, 1.0, 900.0


@dataclass(frozen=True)
class Block:
    """Commands of the page, and what they print."""

    number: int
    line: int
    commands: str
    expected: str | None = None
    exits: int = 0
    again: bool = False


def blocks(text: str) -> list[Block]:
    """Return the command blocks of a page in their order."""
    found: list[Block] = []
    end = -1
    for match in _BLOCK.finditer(text):
        language, said, body = match.groups()
        words = said.split()
        if language == "sh":
            line = text.count("\n", 0, match.start()) + 1
            exits = int(words[words.index("exits") + 1]) if "exits" in words else 0
            found.append(Block(len(found) + 1, line, body, None, exits, "again" in words))
        elif language == "text" and found and not text[end : match.start()].strip():
            last = found.pop()
            found.append(Block(last.number, last.line, last.commands, body, last.exits, last.again))
        end = match.end()
    return found


def calls(block: Block) -> Iterator[list[str]]:
    """Yield the words of every call of o2c in *block*."""
    for line in block.commands.splitlines():
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        call: list[str] | None = None
        for word in words:
            if word == "o2c" and call is None:
                call = []
            elif call is not None and set(word) <= set("();<>|&"):
                yield call[:-1] if word == ">" and call[-1:] == ["2"] else call
                call = None
            elif call is not None:
                call.append(word)
        if call is not None:
            yield call


def matches(expected: str, printed: str) -> bool:
    """Tell whether *printed* is what the page says."""
    pattern = "".join(_line(line) for line in expected.splitlines())
    return re.fullmatch(pattern, "".join(f"{_blanks(line)}\n" for line in printed.splitlines())) is not None


def _line(line: str) -> str:
    if line.strip() == "...":
        return r"(?:[^\n]*\n)*?"
    parts = re.split(r"<[^<>]+>", _blanks(line))
    return r"[^\n]+?".join(re.escape(part) for part in parts) + r"\n"


def _blanks(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


class Terminal:
    """One bash, as a person has it: variables, folder and jobs stay from block to block."""

    def __init__(self, start: Path, folder: Path, environment: Mapping[str, str]) -> None:
        """Begin in the folder *start*; what is printed is kept in *folder*."""
        self._folder = folder
        self._bash = subprocess.Popen(
            [shutil.which("bash") or "bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            cwd=start,
            env=dict(environment),
            text=True,
        )

    def run(self, block: Block, seconds: float) -> str:
        """Run *block*, again for *seconds* if it may be, and return what it printed.

        AssertionError when that is not what the page says.
        """
        deadline = time.monotonic() + seconds
        while True:
            printed, code, failed = self._once(block)
            fine = block.expected is None or matches(block.expected, printed)
            ended = code == block.exits and (block.exits or not failed)
            if fine and ended:
                return printed
            if not block.again or time.monotonic() > deadline:
                told = f"it exits {code}, failed: {failed or 'nothing'}\n{printed}\n-- expected:\n{block.expected}"
                raise AssertionError(f"the block in line {block.line} does not do what the page says: {told}")
            time.sleep(_AGAIN_SECONDS)

    def _once(self, block: Block) -> tuple[str, int, str]:
        commands, output, done, failures = (
            self._folder / f"{block.number}.{name}" for name in ("sh", "out", "done", "failed")
        )
        commands.write_text(block.commands, encoding="utf-8")
        for file in (done, failures):
            file.unlink(missing_ok=True)
        quoted = {name: shlex.quote(str(file)) for name, file in (("sh", commands), ("out", output), ("done", done))}
        trap = shlex.quote(f'echo "$BASH_COMMAND" >> {shlex.quote(str(failures))}')
        self._say(f"trap {trap} ERR")
        self._say(f"source {quoted['sh']} > {quoted['out']} 2>&1 < /dev/null; echo $? > {quoted['done']}.new")
        self._say(f"mv {quoted['done']}.new {quoted['done']}")
        deadline = time.monotonic() + _LONGEST_SECONDS
        while not done.exists():
            if self._bash.poll() is not None or time.monotonic() > deadline:
                said = output.read_text(encoding="utf-8") if output.exists() else ""
                raise AssertionError(f"the block in line {block.line} does not end:\n{said}")
            time.sleep(_POLL_SECONDS)
        failed = failures.read_text(encoding="utf-8") if failures.exists() else ""
        return output.read_text(encoding="utf-8"), int(done.read_text(encoding="utf-8")), failed

    def _say(self, line: str) -> None:
        if self._bash.stdin is None:
            raise AssertionError("bash cannot be spoken to")
        self._bash.stdin.write(f"{line}\n")
        self._bash.stdin.flush()

    def close(self) -> None:
        """End the shell and its jobs."""
        if self._bash.stdin is not None:
            self._say("trap - ERR; kill $(jobs -p) 2> /dev/null; wait; exit")
            self._bash.stdin.close()
        try:
            self._bash.wait(60)
        except subprocess.TimeoutExpired:
            self._bash.kill()
            self._bash.wait()
