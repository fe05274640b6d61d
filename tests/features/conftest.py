"""What tests of features share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.canary import CANARY, Aviary


@pytest.fixture
def aviary(tmp_path: Path) -> Iterator[Aviary]:
    """All that is written below the test's folder, and all processes, while the test runs."""
    with Aviary(tmp_path, CANARY) as made:
        yield made
