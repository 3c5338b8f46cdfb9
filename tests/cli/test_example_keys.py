# SPDX-License-Identifier: Apache-2.0
"""Every verb refuses a key of keys-example/, and takes it when told so, with a warning."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forge import make_tools
from tests.cli.program import copy, snapshot, stock, verity
from tests.cli.worlds import REF, commit

SCRIPT = Path("keys-example/make.py")
ALLOW = "--allow-example-keys"
REPO = ("--repo", "repo")
CHAIN = (*REPO, "--commit", REF, "--key", "vendor-os.pem.pub")
VENDOR = ("--party", "vendor")
STREAMS = ("--stream=os=vendor:os", "--stream=tools=user:extension")
FRAGMENTS = ("--keys=v.keys", "--keys=u.keys", "--policy=host.policy", "--grants=os.grants")
ROLES = ("--role=policy=user-policy.pem.pub", "--role=extension=user-extension.pem.pub")

# In the order in which one needs what another has made: the whole chain with example keys alone.
VERBS: dict[str, tuple[str, ...]] = {
    "commit sign": (
        *("commit", "sign", *REPO, "--key=vendor-os.pem", "--stream=os", "--serial=1", REF),
    ),
    "commit verify": ("commit", "verify", *REPO, "--key=vendor-os.pem.pub", REF),
    "audit": ("audit", "--root=tree", *CHAIN),
    "objects check": ("objects", "check", *REPO, "--key=vendor-os.pem.pub", REF),
    "explain": ("explain", "--root=tree", *CHAIN, "/data"),
    "extension sign": (
        *("extension", "sign", "--key=user-extension.pem", "--stream=tools", "--serial=1"),
        *("--tree=tree", "tools"),
    ),
    "digest": ("digest", "--key=user-extension.pem", "--out-signature=p7s", "tree/data"),
    "lockdown pin": ("lockdown", "pin", *VENDOR, "--root=vendor-root.pem.pub", "vendor.pin"),
    "lockdown pin, user": (
        *("lockdown", "pin", "--party=user", "--root=user-root.pem.pub", "user.pin"),
    ),
    "keyring project": (
        *("keyring", "project", *VENDOR, "--version=1", "--role=os=vendor-os.pem.pub"),
        *("--key=vendor-root.pem", "v.keys"),
    ),
    "keyring project, user": (
        *("keyring", "project", "--party=user", "--version=1", *ROLES),
        *("--key=user-root.pem", "u.keys"),
    ),
    "policy compile": (
        *("policy", "compile", "--mode=observe", "--serial=1", *STREAMS),
        *("--key=user-policy.pem", "host.policy"),
    ),
    "lockdown bundle": (
        *("lockdown", "bundle", "--pin=vendor=vendor.pin", "--pin=user=user.pin"),
        *(*FRAGMENTS, "boot.bundle"),
    ),
    "keyring init": (
        *("keyring", "init", "--party=user", "--role=root=user-root.pem.pub"),
        *("--role=policy=user-policy.pem.pub", "--key=user-root.pem", "keyrings"),
    ),
    "keyring add-key": (
        *("keyring", "add-key", "--party=user", "--role=unlock=user-unlock.pem.pub"),
        *("--key=user-root.pem", "keyrings"),
    ),
    "keyring verify": ("keyring", "verify", "--pin=user=user.pin", "keyrings"),
    "etc sign": (
        *("etc", "sign", "--root=host", "--key=user-etc.pem", "--stream=etc-host", "--serial=1"),
    ),
    "etc status": ("etc", "status", "--root=host", "--key=user-etc.pem.pub"),
    "key import": ("key", "import", "user-etc.pem.pub", "imported.pub"),
    "key import, private": ("key", "import", "user-etc.pem", "imported.pem"),
}

# These verify the signature, and then find no fs-verity on files; by the file system, 1 or 3.
WITHOUT_VERITY = {"audit", "explain", "objects check"}

# These write what they name last, and overwrite nothing.
MAKERS = ("extension sign", "lockdown", "keyring project", "keyring init", "policy compile")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example keys, a tree and an unsigned commit of it."""
    path = tmp_path_factory.mktemp("ground")
    subprocess.run([sys.executable, SCRIPT, path], check=True, timeout=60)
    make_tools(path / "tree")
    (path / "host/etc").mkdir(parents=True)
    (path / "host/etc/motd").write_text("welcome\n")
    stock("ostree", "--repo=repo", "init", "--mode=bare-user", cwd=path)
    commit(path / "repo", path / "tree", REF)
    return path


@pytest.fixture(scope="module")
def chain(ground: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything made with them, which also shows that it can be."""
    path = copy(ground, tmp_path_factory.mktemp("chain") / "w")
    for name, args in VERBS.items():
        done = verity(*args, ALLOW, cwd=path)
        assert done.status in ((1, 3) if name in WITHOUT_VERITY else (0,)), (name, done)
        if name == "commit sign":
            shown = verity("commit", "show", *REPO, "--grants", REF, cwd=path)
            (path / "os.grants").write_bytes(shown.raw_out)
        assert "example-key" not in done.out
        assert done.err.count("verity: warning: --allow-example-keys: ") == 1, (name, done.err)
    return path


@pytest.mark.parametrize("name", VERBS)
def test_refused(name: str, chain: Path, tmp_path: Path) -> None:
    path = copy(chain, tmp_path / "w")
    made = VERBS[name][-1]
    if name.startswith(MAKERS):
        stock("rm", "-r", made, cwd=path)
    before = snapshot(path)
    done = verity(*VERBS[name], cwd=path)
    assert (done.status, done.out) == (1, "")
    assert " is one of keys-example/, whose private half everybody has" in done.err
    assert ALLOW in done.err
    assert snapshot(path) == before


def test_it_is_said_of_an_example(ground: Path) -> None:
    for name in ("user-root.pem", "user-root.pem.pub", "vendor-ostree.pem.pub"):
        done = verity("key", "show", name, cwd=ground)
        assert (done.status, done.err) == (0, "")
        assert "\nexample    yes: " in done.out
    (record,) = verity("key", "show", "--json", "user-root.pem", cwd=ground).records
    assert record["example"] is True


def test_one_example_among_others_is_enough(ground: Path, tmp_path: Path) -> None:
    path = copy(ground, tmp_path / "w")
    assert verity("key", "generate", "mine.pem", cwd=path).status == 0
    args = ("commit", "verify", *REPO, "--key=mine.pem.pub", "--key=vendor-os.pem.pub", REF)
    done = verity(*args, cwd=path)
    assert (done.status, done.out) == (1, "")
    assert "vendor-os.pem.pub: key " in done.err


def test_the_key_for_ostrees_own_signature(chain: Path, tmp_path: Path) -> None:
    path = copy(chain, tmp_path / "w")
    assert verity("key", "generate", "mine.pem", cwd=path).status == 0
    common = ("--replace", "--key=mine.pem", "--stream=os", "--serial=2", REF)
    sign = ("commit", "sign", *REPO, "--ostree-sign=vendor-ostree.pem", *common)
    verify = ("commit", "verify", *REPO, "--key=mine.pem.pub", "--ostree-key=vendor-ostree.pem.pub")
    refused = verity(*sign, cwd=path)
    assert (refused.status, refused.out) == (1, "")
    assert "vendor-ostree.pem: key " in refused.err
    assert verity(*sign, ALLOW, cwd=path).status == 0
    refused = verity(*verify, REF, cwd=path)
    assert (refused.status, refused.out) == (1, "")
    assert "vendor-ostree.pem.pub: key " in refused.err
    assert verity(*verify, REF, ALLOW, cwd=path).status == 0


def test_an_example_can_be_put_out_of_a_keyring(chain: Path, tmp_path: Path) -> None:
    path = copy(chain, tmp_path / "w")
    assert verity("key", "generate", "policy.pem", cwd=path).status == 0
    common = ("--party=user", "--key=user-root.pem", ALLOW, "keyrings")
    replaced = ("--revoke", "--replace", "user-policy.pem.pub=policy.pem.pub")
    done = verity("keyring", "rotate", *replaced, *common, cwd=path)
    assert done.status == 0, done.err


def test_a_bundle_is_neither_signed_nor_attached_with_one(chain: Path, tmp_path: Path) -> None:
    path = copy(chain, tmp_path / "w")
    prepare = ("sign", "prepare", "commit", *REPO, "--stream=os", "--serial=3", "--output=os.sign")
    assert verity(*prepare, "--replace", REF, cwd=path).status == 0
    add = ("sign", "add", "--yes", "--key=vendor-os.pem", "os.sign")
    attach = ("sign", "attach", *REPO, "--replace", "--key=vendor-os.pem.pub", "os.sign")
    for args in (add, attach):
        before = snapshot(path)
        refused = verity(*args, cwd=path)
        assert refused.status == 1
        assert " is one of keys-example/" in refused.err
        assert snapshot(path) == before
        assert verity(*args, ALLOW, cwd=path).status == 0
