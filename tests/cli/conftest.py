# SPDX-License-Identifier: Apache-2.0
"""One signed world per mode of repository; every test that changes something gets a copy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import gate_shim
from tests.cli.forge import make_forge
from tests.cli.gate_host import Host
from tests.cli.guarded import make_policies, with_policies
from tests.cli.keyring_world import make_keyrings
from tests.cli.program import copy
from tests.cli.unlock_world import make_desk, seal
from tests.cli.worlds import MODES, World, make_keys, make_world


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys")
    make_keys(path)
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Callable[[str], World]:
    """The world of a mode, for reading only."""
    worlds: dict[str, World] = {}

    def make(mode: str) -> World:
        if mode not in worlds:
            worlds[mode] = make_world(tmp_path_factory.mktemp(mode), mode, keys)
        return worlds[mode]

    return make


@pytest.fixture(params=MODES)
def any_world(request: pytest.FixtureRequest, made: Callable[[str], World]) -> World:
    """A signed world of each mode, for reading only."""
    mode: str = request.param
    return made(mode)


@pytest.fixture
def bare(made: Callable[[str], World]) -> World:
    """A signed world in the mode bare, for reading only."""
    return made("bare")


@pytest.fixture
def world(made: Callable[[str], World], tmp_path: Path) -> World:
    """A copy of a signed world in the mode bare, to break."""
    return World(copy(made("bare").path, tmp_path / "w"))


@pytest.fixture
def copied(made: Callable[[str], World], tmp_path: Path) -> Callable[[str], World]:
    """A copy of a signed world of any mode, to break."""
    return lambda mode: World(copy(made(mode).path, tmp_path / "w"), mode)


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that plays the gate."""
    return gate_shim.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def host(tmp_path: Path, shim: Path) -> Host:
    """An empty host, for a gate to be put in."""
    return Host(tmp_path, shim)


@pytest.fixture(scope="session")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, pins and every fragment of a boot bundle, for reading only."""
    return make_forge(tmp_path_factory.mktemp("forge"))


@pytest.fixture
def forged(forge: Path, tmp_path: Path) -> Path:
    """A copy, to write into or to break."""
    return copy(forge, tmp_path / "w")


@pytest.fixture(scope="session")
def keyrings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys, and the first version of a vendor's keyring, for reading only."""
    return make_keyrings(tmp_path_factory.mktemp("keyrings"))


@pytest.fixture
def here(keyrings: Path, tmp_path: Path) -> Path:
    """A copy, to make more versions in."""
    return copy(keyrings, tmp_path / "w")


@pytest.fixture(scope="session")
def policies(tmp_path_factory: pytest.TempPathFactory, keys: Path) -> Path:
    """Policies that guard, or don't; for reading only."""
    return make_policies(tmp_path_factory.mktemp("guarded"), keys)


@pytest.fixture
def guarded(world: World, policies: Path) -> World:
    """A world with these policies."""
    return with_policies(world, policies)


@pytest.fixture(scope="session")
def desk_made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The desk of who signs unlocks, with a token, for reading only."""
    return make_desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture
def desk(desk_made: Path, tmp_path: Path) -> Path:
    """A copy of it, without the token."""
    path = copy(desk_made, tmp_path / "desk")
    (path / "token").unlink()
    return path


@pytest.fixture
def sealed(host: Host) -> Host:
    """A sealed host, in second 99 of its boot."""
    return seal(host)
