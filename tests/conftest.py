# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests: how many examples, and no example that fails for being slow. A token."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.hsm import Hsm, make

settings.register_profile("quick", deadline=None)
settings.register_profile("full", deadline=None, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hsm]:
    """A token; the module in this process reads where it is when it is first used."""
    made = make(tmp_path_factory.mktemp("hsm"))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made
