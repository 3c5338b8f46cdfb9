# SPDX-License-Identifier: Apache-2.0
"""Bad input that ends in an error: status, one line on the object, a hint, nothing written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, snapshot, verity
from tests.cli.spoil import (
    AUDIT,
    EXPLAIN,
    KEY,
    REPO,
    SIGN,
    VERIFY,
    as_bare_user_only,
    chmod,
    flip_commit,
    nothing,
    remove_object,
    replace_object,
    swap_detached,
    write,
)
from tests.cli.worlds import REF, UNSIGNED_REF, World


@dataclass(frozen=True)
class Refused:
    """A run that ends in an error on stderr. ``words`` are in its one line."""

    args: tuple[str, ...]
    status: int
    words: tuple[str, ...]
    spoil: Callable[[World], object] = nothing
    hint: bool = True


REFUSED = {
    # repositories and refs
    "repository-that-is-not-one": Refused(
        ("commit", "verify", "--repo", "tree", *KEY, REF),
        3,
        ("tree: not an OSTree repository", "config"),
    ),
    "repository-that-does-not-exist": Refused(
        ("commit", "verify", "--repo", "nowhere", *KEY, REF), 3, ("nowhere", "does not exist")
    ),
    "repository-that-is-a-file": Refused(
        ("commit", "show", "--repo", "vendor.pem", REF), 3, ("vendor.pem",)
    ),
    "repository-without-owners": Refused(
        (*VERIFY, REF), 3, ("repo: ", "'bare-user-only'"), as_bare_user_only
    ),
    "repository-of-another-version": Refused(
        (*VERIFY, REF), 3, ("repo: ", "version"), write("repo/config", "[core]\nrepo_version=9\n")
    ),
    "ref-that-does-not-exist": Refused(
        (*VERIFY, "debian/nothing"), 3, ("repo: there is no ref debian/nothing",)
    ),
    "ref-out-of-the-repository": Refused((*VERIFY, "../../etc/passwd"), 2, ("'../../etc/passwd'",)),
    "ref-that-holds-nonsense": Refused(
        (*VERIFY, "bad"), 1, ("refs/heads/bad", "64 hex digits"), write("repo/refs/heads/bad", "x")
    ),
    "commit-that-is-not-there": Refused((*VERIFY, "f" * 64), 3, ("ff.commit", "no such object")),
    "commit-object-damaged": Refused((*VERIFY, REF), 1, (".commit: its checksum is",), flip_commit),
    # keys
    "private-key-readable-by-others": Refused(
        (*SIGN, "--key", "vendor.pem", UNSIGNED_REF),
        3,
        ("vendor.pem", "mode 0644", "expected 0600"),
        chmod("vendor.pem", 0o644),
    ),
    "private-key-readable-by-the-group": Refused(
        ("key", "show", "vendor.pem"), 3, ("mode 0640",), chmod("vendor.pem", 0o640)
    ),
    "public-key-for-signing": Refused(
        (*SIGN, "--key", "vendor.pem.pub", UNSIGNED_REF), 1, ("vendor.pem.pub: not a private key",)
    ),
    "public-key-of-mode-0600-for-signing": Refused(
        (*SIGN, "--key", "vendor.pem.pub", UNSIGNED_REF),
        1,
        ("vendor.pem.pub: not a private key",),
        chmod("vendor.pem.pub", 0o600),
    ),
    "private-key-for-verifying": Refused(
        ("commit", "verify", *REPO, "--key", "vendor.pem", REF),
        1,
        ("vendor.pem: a private key, expected a public one",),
    ),
    "key-that-does-not-exist": Refused(
        ("commit", "verify", *REPO, "--key", "none.pub", REF), 3, ("none.pub: does not exist",)
    ),
    "key-that-is-none": Refused(
        ("commit", "verify", *REPO, "--key", "garbage.pub", REF), 1, ("garbage.pub: not a public",)
    ),
    "key-of-another-algorithm": Refused(
        ("commit", "verify", *REPO, "--key", "ed25519.pem.pub", REF),
        1,
        ("ed25519", "ecdsa-p256"),
    ),
    "key-of-another-curve": Refused(
        ("commit", "verify", *REPO, "--key", "p384.pem.pub", REF), 1, ("p384.pem.pub",), hint=False
    ),
    "signing-key-of-another-algorithm": Refused(
        (*SIGN, "--key", "ed25519.pem", UNSIGNED_REF), 1, ("ed25519.pem", "expected ecdsa-p256")
    ),
    "signing-key-encrypted": Refused(
        (*SIGN, "--key", "encrypted.pem", UNSIGNED_REF), 3, ("encrypted.pem", "is encrypted")
    ),
    "signing-key-damaged": Refused(
        (*SIGN, "--key", "garbage.pem", UNSIGNED_REF), 1, ("garbage.pem: not a private key",)
    ),
    "signer-of-an-unknown-scheme": Refused(
        (*SIGN, "--key", "card:token", UNSIGNED_REF), 2, ("no signer for the scheme 'card'",)
    ),
    "signer-that-names-no-key": Refused(
        (*SIGN, "--key", "pkcs11:token=build", UNSIGNED_REF),
        2,
        ("pkcs11: neither object nor id names a key",),
    ),
    "signer-without-its-public-key": Refused(
        (*SIGN, "--key", "awskms:alias/build", UNSIGNED_REF), 2, ("awskms: the public key",)
    ),
    "signer-whose-library-is-missing": Refused(
        (*SIGN, "--key", "awskms:alias/build#vendor.pem.pub", UNSIGNED_REF),
        3,
        ("'awskms' needs a library",),
    ),
    "signer-that-checks-no-modes": Refused(
        (*SIGN, "--key", "file2:vendor.pem#vendor.pem.pub", UNSIGNED_REF), 2, ("'file2'",)
    ),
    "key-file-that-is-there": Refused(
        ("key", "generate", "vendor.pem"), 3, ("vendor.pem: exists already",)
    ),
    "key-whose-public-file-is-there": Refused(
        ("key", "generate", "new.pem"),
        3,
        ("new.pem.pub: exists already",),
        write("new.pem.pub", "somebody's"),
    ),
    "key-in-a-missing-directory": Refused(
        ("key", "generate", "no/k.pem"), 3, ("no/k.pem: does not exist",)
    ),
    # signing
    "already-signed": Refused(
        (*SIGN, "--key", "vendor.pem", REF), 2, ("has a verity statement already",)
    ),
    "stream-with-bad-characters": Refused(
        ("commit", "sign", *REPO, "--key", "vendor.pem", "--stream=A b", "--serial=1", REF),
        2,
        ("'A b'",),
        hint=False,
    ),
    "gpg-home-without-gpg": Refused(
        (*SIGN, "--key", "vendor.pem", "--gpg-homedir", "h", UNSIGNED_REF),
        2,
        ("--gpg-homedir",),
        hint=False,
    ),
    "gpg-key-that-does-not-exist": Refused(
        (*SIGN, "--key=vendor.pem", "--gpg-sign=nobody@x", "--gpg-homedir=none", UNSIGNED_REF),
        3,
        ("gpg did not sign with 'nobody@x'",),
    ),
    "signing-a-commit-with-a-damaged-object": Refused(
        (*SIGN, "--key", "vendor.pem", UNSIGNED_REF),
        1,
        ("/usr/share/big", "its checksum is"),
        replace_object("/usr/share/big"),
    ),
    "signing-a-commit-with-a-missing-object": Refused(
        (*SIGN, "--key", "vendor.pem", UNSIGNED_REF),
        3,
        ("no such object",),
        remove_object("/usr/bin/tool"),
    ),
    # verbs that want a commit that verifies
    "audit-of-an-unknown-commit": Refused(
        ("audit", "--root", "tree", *REPO, "--commit", "nowhere", *KEY),
        3,
        ("there is no ref nowhere",),
    ),
    "audit-without-a-repository": Refused(
        ("audit", "--root", "tree", "--commit", REF, *KEY),
        3,
        ("tree/ostree/repo: not an OSTree repository",),
    ),
    "audit-with-a-key-that-is-not-there": Refused(
        (*AUDIT[:-1], "none.pub"), 3, ("none.pub: does not exist",)
    ),
    "audit-with-a-keyring-that-is-not-there": Refused(
        (*AUDIT[:-2], "--keyring", "none"), 3, ("no such directory",)
    ),
    "audit-over-a-file": Refused((*AUDIT, "--output", "repo/config"), 3, ("exists already",)),
    "audit-into-nowhere": Refused((*AUDIT, "--output", "no/report"), 3, ("no/report: does not",)),
    "audit-of-nothing": Refused(
        ("audit", "--root", "none", *AUDIT[3:]), 3, ("none: does not exist",)
    ),
    "audit-of-a-file": Refused(("audit", "--root", "vendor.pem", *AUDIT[3:]), 3, ("vendor.pem",)),
    "objects-of-a-swapped-commit": Refused(
        ("objects", "check", *REPO, *KEY, REF), 1, ("it is about commit",), swap_detached
    ),
    "explain-a-relative-path": Refused((*EXPLAIN, "usr"), 2, ("usr: expected an abs",), hint=False),
    "explain-a-path-with-dots": Refused(
        (*EXPLAIN, "/usr/../etc"), 2, ("without '..'",), hint=False
    ),
    # manifests
    "manifest-that-is-none": Refused(
        ("manifest", "show", "vendor.pem.pub"), 1, ("manifest line 1", "fields")
    ),
    "manifest-that-does-not-exist": Refused(
        ("manifest", "diff", "vendor.pem", "none"), 3, ("none: does not exist",)
    ),
    "manifest-against-itself": Refused(
        ("manifest", "diff", "vendor.pem", "vendor.pem"), 2, ("compared with itself",), hint=False
    ),
    "manifest-over-a-file": Refused(
        ("manifest", "make", "--output", "vendor.pem", "tree"), 3, ("vendor.pem: exists already",)
    ),
    "manifest-of-nothing": Refused(("manifest", "make", "none"), 3, ("none: does not exist",)),
    "manifest-of-a-damaged-commit": Refused(
        ("manifest", "make", *REPO, "--output", "m", REF),
        1,
        ("/usr/share/big",),
        replace_object("/usr/share/big"),
    ),
    # values of options
    "block-size-that-is-no-power-of-two": Refused(
        ("digest", "--block-size=1000", "vendor.pem"), 2, ("block size 1000",)
    ),
    "block-size-too-small": Refused(
        ("digest", "--block-size=32", "vendor.pem"), 2, ("block size 32", "between 64 and")
    ),
    "block-size-too-small-for-the-algorithm": Refused(
        ("digest", "--hash-alg=sha512", "--block-size=64", "vendor.pem"), 2, ("between 128 and",)
    ),
    "block-size-too-large": Refused(
        ("digest", "--block-size", str(1 << 31), "vendor.pem"), 2, ("block size 2147483648",)
    ),
    "block-size-that-is-negative": Refused(
        ("digest", "--block-size=-4096", "vendor.pem"), 2, ("block size -4096",)
    ),
    "salt-of-half-a-byte": Refused(("digest", "--salt=abc", "vendor.pem"), 2, ("'abc'",)),
    "list-that-is-not-there": Refused(
        ("digest", "--files0-from=none"), 3, ("none: does not exist",)
    ),
    "list-without-a-nul": Refused(
        ("digest", "--files0-from=list"),
        1,
        ("list: a name of more than 65536 bytes",),
        write("list", "name\n" * 50_000),
    ),
    "tree-of-a-directory": Refused(
        ("digest", "--out-merkle-tree=t", "tree"), 2, ("tree is a directory",)
    ),
    "tree-over-a-file": Refused(
        ("digest", "--out-merkle-tree=garbage.pub", "vendor.pem"),
        3,
        ("garbage.pub: exists already",),
    ),
    "signature-where-nobody-can-write": Refused(
        ("digest", "--key=vendor.pem", "--out-descriptor=d", "--out-signature=no/s", "garbage.pub"),
        3,
        ("no/s: does not exist",),
    ),
    "signature-by-a-public-key": Refused(
        ("digest", "--key=vendor.pem.pub", "--out-signature=s", "garbage.pub"), 1, ("private key",)
    ),
    "salt-that-is-no-hex": Refused(("digest", "--salt=zz", "vendor.pem"), 2, ("'zz'",)),
    "salt-that-is-too-long": Refused(
        ("digest", "--salt", "00" * 33, "vendor.pem"), 2, ("33 bytes",)
    ),
    "more-signers-than-keys": Refused(
        ("commit", "verify", *REPO, *KEY, "--threshold=2", REF), 2, ("a threshold of 2",)
    ),
    "one-key-twice-is-one-owner": Refused(
        ("commit", "verify", *REPO, *KEY, *KEY, "--threshold=2", REF), 2, ("with 1 owners",)
    ),
}


USAGE = {
    "no-revision": VERIFY,
    "no-repository": ("commit", "verify", *KEY, REF),
    "unknown-verb": ("frobnicate",),
    "unknown-verb-of-a-noun": ("commit", "frobnicate"),
    "unknown-option": (*VERIFY, "--frobnicate", REF),
    "serial-0": (*SIGN[:-1], "0", "--key", "vendor.pem", UNSIGNED_REF),
    "serial-beyond-2^53": (*SIGN[:-1], str(2**53), "--key", "vendor.pem", UNSIGNED_REF),
    "digest-of-nothing": ("digest",),
    "digest-of-files-and-a-list": ("digest", "--files0-from", "garbage.pub", "vendor.pem"),
    "tree-of-two-files": ("digest", "--out-merkle-tree=t", "vendor.pem", "vendor.pem.pub"),
    "tree-of-a-pipe": ("digest", "--out-merkle-tree=t", "-"),
    "descriptor-of-a-list": ("digest", "--out-descriptor=d", "--files0-from", "garbage.pub"),
    "signature-without-a-key": ("digest", "--out-signature=s", "vendor.pem"),
    "key-without-a-signature": ("digest", "--key=vendor.pem", "vendor.pem"),
    "unknown-algorithm": ("digest", "--hash-alg=md5", "vendor.pem"),
    "no-jobs": ("digest", "--jobs=0", "vendor.pem"),
    "threshold-0": (*VERIFY, "--threshold=0", REF),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, request: pytest.FixtureRequest) -> None:
    row = REFUSED[name]
    # Nothing is written, so those that change nothing share one.
    world: World = request.getfixturevalue("bare" if row.spoil is nothing else "world")
    row.spoil(world)
    before = snapshot(world.path)
    done = verity(*row.args, cwd=world.path)
    assert done.status == row.status, done
    assert done.out == ""
    assert_clean_error(done, row.words, hint=row.hint)
    assert snapshot(world.path) == before


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, bare: World) -> None:
    before = snapshot(bare.path)
    done = verity(*USAGE[name], cwd=bare.path)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert snapshot(bare.path) == before


def test_usage_errors_look_like_all_others(bare: World) -> None:
    done = verity(*USAGE["no-repository"], cwd=bare.path)
    assert "verity: error: " in done.err
    assert "--repo" in done.err


def test_objects_of_an_archive_are_not_files(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    for verb in ("enable", "check"):
        done = verity("objects", verb, *REPO, *KEY, REF, cwd=world.path)
        assert (done.status, done.out) == (3, "")
        assert_clean_error(done, ("repo: a repository of the mode archive",), hint=True)


def test_an_error_escapes_what_it_quotes(tmp_path: Path) -> None:
    done = verity("commit", "show", "--repo", "no\x1b[2J\nverity: fine", "x", cwd=tmp_path)
    assert done.status == 3
    assert "\x1b" not in done.err
    assert_clean_error(done, (r"no\x1b[2J\x0averity: fine",), hint=True)
