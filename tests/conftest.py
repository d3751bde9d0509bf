"""How the suite is spread: the longest first, and the tests of a file in one process, since they share its fixtures."""

from __future__ import annotations

from typing import Any

import pytest

# Files whose tests share nothing that is dear to make: each test goes wherever there is room.
APART = {"tests/bot/test_app.py", "tests/stories/test_demo.py", "tests/workers/test_process.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(item.get_closest_marker(name) for name in ("story", "long")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - whoever runs the tests one by one needs no xdist

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file in APART else file

    return ByFile(config, log)
