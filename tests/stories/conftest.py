"""One small installation for the stories of a module."""

import pytest

from lab.rig import rig
from tests.office import Office

SPEED = 100.0


@pytest.fixture(scope="module")
def office():
    with rig("small", speed=SPEED, workers=1) as made:
        yield Office(made)
