from __future__ import annotations

from benchmarks.__main__ import BENCHMARKS, progress


def test_whoever_waits_is_told_how_far_it_is() -> None:
    names = list(BENCHMARKS)
    first, last = progress(names, 0, 0, short=False), progress(names, len(names) - 1, 1_500, short=False)
    assert first.startswith(f"== {names[0]} (1 of {len(names)}; 0 min so far, about {sum(BENCHMARKS.values()):.0f} min")
    assert f"25 min so far, about {BENCHMARKS[names[-1]]:.0f} min" in last
    assert "about 1 min to go" in progress(["full"], 0, 0, short=True)
