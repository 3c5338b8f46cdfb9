# SPDX-License-Identifier: Apache-2.0
"""Keys, and a vendor's keyring in `k` whose two root owners must sign, made by the program."""

from pathlib import Path
from typing import Any

from tests.cli.program import Done, verity
from verity.formats import bundle, kernel_keys
from verity.ports import keystore

KEYS = ("ann", "bob", "ann2", "os1", "os2", "stranger", "policy", "ext", "uroot")
VENDOR = ("--party", "vendor")
BOTH = ("--key", "ann.pem", "--key", "bob.pem")
ROOTS = ("--role", "root:2=ann=ann.pem.pub", "--role", "root=bob=bob.pem.pub")
OS = ("--role", "os=build=os1.pem.pub", "--stream", "os=debian-*")
INIT = ("keyring", "init", *VENDOR, *ROOTS, *OS)


def key_id(directory: Path, name: str) -> str:
    return keystore.load_public(directory / f"{name}.pem.pub").key_id


def make_keyrings(path: Path) -> Path:
    for name in KEYS:
        assert verity("key", "generate", f"{name}.pem", cwd=path).status == 0
    done = verity(*INIT, *BOTH, "k", cwd=path)
    assert done.status == 0, done.err
    assert done.err.startswith("verity: note: every root owner must sign each later version")
    return path


def good(cwd: Path, *args: str) -> Done:
    done = verity(*args, cwd=cwd)
    assert done.status == 0, (args, done.err, done.out)
    return done


def change(cwd: Path, verb: str, *args: str, keys: tuple[str, ...] = BOTH) -> Done:
    return good(cwd, "keyring", verb, *VENDOR, *args, *keys, "k")


def newest(cwd: Path) -> dict[str, Any]:
    """The newest version, verified from the pin of the first."""
    (first,) = good(cwd, "keyring", "show", "--json", "k/vendor/1.keyring.json").records
    done = good(cwd, "keyring", "verify", "--pin", f"vendor={first['pin']}", "--json", "k")
    (record,) = done.of_type("keyring-version")
    assert record["verified"] is True
    return record


def kernel_view(cwd: Path, number: int) -> kernel_keys.KernelKeys:
    data = (cwd / f"k/vendor/{number}.keys").read_bytes()
    fragment = bundle.parse_fragment(data, label="test")
    return kernel_keys.parse_keys(fragment.blob)
