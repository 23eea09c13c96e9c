"""Let the person at the terminal pick a value for each missing line; what is said goes to standard error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from app.check.lines import SHOWN, Line, shown

_SKIP, _STOP = "s", "q"


def picked(lines: Sequence[Line]) -> dict[Line, str]:
    """Return what the person picks, line by line; Enter takes the suggestion, the end of the input stops asking."""
    found = {}
    for line in lines:
        if not line.choices:
            continue
        answer = _answer(line)
        if answer == _STOP:
            break
        if answer != _SKIP:
            found[line] = answer_value(line, answer)
    return found


def answer_value(line: Line, answer: str) -> str:
    """Return the value that an answer means: a number of the list, the value itself, or Enter for the suggestion."""
    if answer.isdecimal() and 0 < int(answer) <= len(line.choices):
        return line.choices[int(answer) - 1].value
    return answer or line.suggested


def _values(line: Line) -> set[str]:
    return {choice.value for choice in line.choices}


def _answer(line: Line) -> str:
    """Ask until the answer is one of the choices; q where the input ends."""
    _say(f"\n{line.connection} ({line.platform}): {line.key}{f', now {line.instead_of}' if line.instead_of else ''}\n")
    for number, choice in enumerate(line.choices, start=1):
        if number <= SHOWN or choice.value == line.suggested:
            _say(f"{number:>4}  {shown(choice)}\n")
    if len(line.choices) > SHOWN:
        _say(f"      and {len(line.choices) - SHOWN} more, which `o2c check --json` lists; type the value\n")
    enter = f"Enter for {line.suggested}" if line.suggested else "Enter to skip"
    while True:
        _say(f"{enter}, a number, {_SKIP} to skip, {_STOP} to stop asking: ")
        typed = sys.stdin.readline()
        answer = typed.strip()
        if not typed or answer in {_SKIP, _STOP}:
            return answer or _STOP
        if not answer and not line.suggested:
            return _SKIP
        if answer_value(line, answer) in _values(line):
            return answer
        _say(f"{answer} is none of them.\n")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
