# SPDX-License-Identifier: Apache-2.0
"""Running the loader: its arguments, its environment, and what its refusals become."""

from pathlib import Path

import pytest

from verity.ports import loader
from verity.ports.gate_object import GateLoader, GateObject, Missing
from verity.values.errors import ContentError, HostError

OBJECT = GateObject(Path("/gate.bpf.o"))


def program(tmp_path: Path, body: str) -> GateLoader:
    path = tmp_path / "verity-load"
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="ascii")
    path.chmod(0o755)
    return GateLoader(path)


def load(found: GateLoader | Missing, *, observe: bool = False) -> str:
    return loader.load(
        found,
        OBJECT,
        bundle=Path("/b"),
        pins=[Path("/v.pin"), Path("/u.pin")],
        host_id=Path("/id"),
        observe=observe,
    )


def test_arguments_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_OF_OURS", "1")
    said = load(program(tmp_path, 'echo "$@"; env | grep -c OURS; true'))
    # Without an id it would take no unlock token until the next boot.
    said, _, ours = said.partition("\n")
    assert said == "--object /gate.bpf.o --bundle /b --pin /v.pin --pin /u.pin --host-id /id"
    assert ours == "0"


def test_observe(tmp_path: Path) -> None:
    assert load(program(tmp_path, 'echo "$@"'), observe=True).endswith(" --observe")


@pytest.mark.parametrize(
    ("body", "family", "message", "hint"),
    [
        (
            "echo 'verity-load: error: /b: damaged' >&2; echo '  hint: make it anew'; exit 1",
            ContentError,
            "verity-load: /b: damaged",
            "make it anew",
        ),
        (
            "echo note; echo 'verity-load: error: no BPF LSM' >&2; exit 3",
            HostError,
            "verity-load: no BPF LSM",
            None,
        ),
        ("exit 2", HostError, "verity-load: ended with exit status 2: it said nothing", None),
        ("echo oops; kill -9 $$", HostError, "verity-load: ended by signal 9: oops", None),
    ],
)
def test_refusals(
    tmp_path: Path, body: str, family: type[Exception], message: str, hint: str | None
) -> None:
    with pytest.raises((ContentError, HostError)) as caught:
        load(program(tmp_path, body))
    assert type(caught.value) is family
    assert (caught.value.code, caught.value.message) == ("not-loaded", message)
    assert caught.value.hint == hint


def test_endless_words_are_cut(tmp_path: Path) -> None:
    text = "verity-load: error: " + "x" * 100000 + "\n  hint: " + "y" * 100000
    error = loader.refused(1, text)
    assert len(error.message) + len(error.hint or "") < 2100


def test_no_loader_and_no_object(tmp_path: Path) -> None:
    missing = Missing(reason="libbpf was not found", hint="install libbpf-dev")
    with pytest.raises(HostError, match="libbpf was not found") as caught:
        load(missing)
    assert (caught.value.code, caught.value.hint) == ("no-loader", "install libbpf-dev")
    with pytest.raises(HostError) as caught:
        loader.load(
            program(tmp_path, ""),
            missing,
            bundle=Path("b"),
            pins=[],
            host_id=Path("/id"),
            observe=True,
        )
    assert caught.value.code == "no-gate-object"


def test_a_loader_that_is_no_program(tmp_path: Path) -> None:
    found = program(tmp_path, "")
    found.path.chmod(0o644)
    with pytest.raises(HostError) as caught:
        load(found)
    assert caught.value.code == "loader-unusable"
