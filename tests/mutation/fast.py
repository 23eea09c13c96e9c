"""Make the tests of the core quick enough to run once per mutant: one seed per scenario, few examples per law.

A pytest plugin, named by `[tool.mutmut]` in pyproject.toml. What is left out only repeats, with other dice, what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import Phase, settings

if TYPE_CHECKING:
    import pytest

_SEEDS, _EXAMPLES = (0,), 10
_LARGE = ("test_40_",)  # a volume, where a single one finds the same


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the first seed; draw few examples, always the same ones: a verdict on a mutant must not change."""
    kept, left_out = [], []
    for item in items:
        spec = getattr(item, "callspec", None)
        first = spec is None or spec.params.get("seed", 0) in _SEEDS
        (kept if first and not item.name.startswith(_LARGE) else left_out).append(item)
        test = getattr(item, "obj", None)
        if hasattr(test, "hypothesis"):
            own = test._hypothesis_internal_use_settings
            few = settings(
                own,
                max_examples=min(own.max_examples, _EXAMPLES),
                derandomize=True,
                database=None,
                phases=(Phase.explicit, Phase.generate),  # a failure is enough, the smallest one costs minutes
            )
            test._hypothesis_internal_use_settings = few
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
