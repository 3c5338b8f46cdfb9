# SPDX-License-Identifier: Apache-2.0
"""Bad input, each row a name: exit status, one error line or finding, a hint, nothing written."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.program import assert_clean_error, snapshot, verity
from tests.cli.worlds import OTHER_REF, REF, UNSIGNED_REF, World
from verity.formats.commit import DetachedMetadata
from verity.verbs import signed

REPO = ("--repo", "repo")
KEY = ("--key", "vendor.pem.pub")
VERIFY = ("commit", "verify", *REPO, *KEY)
AS = ("--stream", "os", "--serial", "3")
SIGN = ("commit", "sign", *REPO, *AS)
EXPLAIN = ("explain", "--root", "tree", *REPO, "--commit", REF, *KEY)
AUDIT = ("audit", "--root", "tree", *REPO, "--commit", REF, *KEY)


def nothing(world: World) -> None:
    """Change nothing: the arguments are what is bad."""


@dataclass(frozen=True)
class Refused:
    """A run that ends in an error on stderr. ``words`` are in its one line."""

    args: tuple[str, ...]
    status: int
    words: tuple[str, ...]
    spoil: Callable[[World], object] = nothing
    hint: bool = True


@dataclass(frozen=True)
class Finds:
    """A `commit verify` that ends in findings on stdout: (check, link, words of the first line)."""

    check: str
    link: str
    words: tuple[str, ...]
    spoil: Callable[[World], object] = nothing
    args: tuple[str, ...] = (*VERIFY, REF)
    mode: str = "bare"


# --- how to spoil a world ------------------------------------------------------------------


def chmod(name: str, mode: int) -> Callable[[World], None]:
    return lambda world: (world.path / name).chmod(mode)


def change_detached(change: Callable[[DetachedMetadata], DetachedMetadata]) -> Callable[..., None]:
    return lambda world: world.attach(change(world.detached()))


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def flip_manifest(metadata: DetachedMetadata) -> DetachedMetadata:
    manifest = signed.manifest_bytes(metadata, "test")
    assert b" 100755 " in manifest
    changed = manifest.replace(b" 100755 ", b" 104755 ", 1)
    return metadata.with_bytes(signed.MANIFEST, signed.pack_manifest(changed))


def flip_packed_manifest(metadata: DetachedMetadata) -> DetachedMetadata:
    packed = metadata.get_bytes(signed.MANIFEST) or b""
    return metadata.with_bytes(signed.MANIFEST, flipped(packed, len(packed) // 2))


def grow_manifest(metadata: DetachedMetadata) -> DetachedMetadata:
    packed = metadata.get_bytes(signed.MANIFEST) or b""
    return metadata.with_bytes(signed.MANIFEST, (2**40).to_bytes(8, "little") + packed[8:])


def flip_grants(metadata: DetachedMetadata) -> DetachedMetadata:
    blob = metadata.get_bytes(signed.GRANTS) or b""
    return metadata.with_bytes(signed.GRANTS, flipped(blob, -1))


def flip_pkcs7(metadata: DetachedMetadata) -> DetachedMetadata:
    (one,) = metadata.get_byte_arrays(signed.GRANTS_SIGNATURES)
    return metadata.with_byte_arrays(signed.GRANTS_SIGNATURES, [flipped(one, -1)])


def flip_template(metadata: DetachedMetadata) -> DetachedMetadata:
    (one,) = metadata.get_byte_arrays(signed.GRANTS_SIGNATURES)
    return metadata.with_byte_arrays(signed.GRANTS_SIGNATURES, [flipped(one, 20)])


def flip_statement(metadata: DetachedMetadata) -> DetachedMetadata:
    (one,) = metadata.get_byte_arrays(signed.STATEMENT)
    at = one.index(b'"payload": "') + 60
    other = b"A" if one[at : at + 1] != b"A" else b"B"
    return metadata.with_byte_arrays(signed.STATEMENT, [one[:at] + other + one[at + 1 :]])


def spoil_envelope(metadata: DetachedMetadata) -> DetachedMetadata:
    return metadata.with_byte_arrays(signed.STATEMENT, [b'{"payload":'])


def swap_detached(world: World) -> None:
    one, other = world.commitmeta(), world.commitmeta(OTHER_REF)
    ours, theirs = one.read_bytes(), other.read_bytes()
    one.write_bytes(theirs)
    other.write_bytes(ours)


def swap_grants(world: World) -> None:
    theirs = world.detached(OTHER_REF)
    world.attach(
        world.detached()
        .with_bytes(signed.GRANTS, theirs.get_bytes(signed.GRANTS) or b"")
        .with_byte_arrays(
            signed.GRANTS_SIGNATURES, theirs.get_byte_arrays(signed.GRANTS_SIGNATURES)
        )
    )


def replace_object(path: str) -> Callable[[World], None]:
    """Other contents of the same length, as somebody with write access would."""

    def change(world: World) -> None:
        file = world.content(path)
        file.write_bytes(flipped(file.read_bytes(), -1))

    return change


def truncate_object(path: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        file = world.content(path)
        file.write_bytes(file.read_bytes()[:-1])

    return change


def remove_object(path: str) -> Callable[[World], None]:
    return lambda world: world.content(path).unlink()


def link_object(world: World) -> None:
    file = world.content("/usr/share/big")
    file.unlink()
    file.symlink_to(world.path / "tree/usr/share/big")


def flip_commit(world: World) -> None:
    file = world.object(world.checksum(), "commit")
    file.write_bytes(flipped(file.read_bytes(), 20))


def remove_root_dirtree(world: World) -> None:
    for file in world.repo.glob("objects/*/*.dirtree"):
        file.unlink()


def write(name: str, text: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        (world.path / name).write_text(text)

    return change


def both(*spoils: Callable[[World], object]) -> Callable[[World], None]:
    def change(world: World) -> None:
        for spoil in spoils:
            spoil(world)

    return change


def as_bare_user_only(world: World) -> None:
    config = world.repo / "config"
    config.write_text(config.read_text().replace("mode=bare", "mode=bare-user-only"))


# --- the table -----------------------------------------------------------------------------

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
        (*SIGN, "--key", "pkcs11:token", UNSIGNED_REF), 2, ("'pkcs11'",)
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
    "audit-of-an-unsigned-commit": Refused(
        ("audit", "--root", "tree", *REPO, "--commit", UNSIGNED_REF, *KEY),
        1,
        ("no verity statement",),
    ),
    "audit-of-a-swapped-commit": Refused(AUDIT, 1, ("it is about commit",), swap_detached),
    "audit-with-another-key": Refused(
        (*AUDIT[:-1], "other.pem.pub"), 1, ("statement: signed by 0 of the trusted owners",)
    ),
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
        ("digest", "--block-size=1000", "vendor.pem"), 2, ("block size 1000",), hint=False
    ),
    "salt-that-is-no-hex": Refused(("digest", "--salt=zz", "vendor.pem"), 2, ("'zz'",), hint=False),
    "salt-that-is-too-long": Refused(
        ("digest", "--salt", "00" * 33, "vendor.pem"), 2, ("33 bytes",), hint=False
    ),
    "more-signers-than-keys": Refused(
        ("commit", "verify", *REPO, *KEY, "--threshold=2", REF), 2, ("a threshold of 2",)
    ),
    "one-key-twice-is-one-owner": Refused(
        ("commit", "verify", *REPO, *KEY, *KEY, "--threshold=2", REF), 2, ("with 1 owners",)
    ),
}

FINDS = {
    "unsigned-commit": Finds(
        "not-signed", "statement", ("no verity statement",), args=(*VERIFY, UNSIGNED_REF)
    ),
    "signature-by-another-key": Finds(
        "bad-signature",
        "signature",
        ("statement: signed by 0 of the trusted owners, 1 needed",),
        args=("commit", "verify", *REPO, "--key", "other.pem.pub", REF),
    ),
    "manifest-of-another-commit": Finds(
        "wrong-commit", "commit", ("it is about commit",), swap_detached
    ),
    "expired-statement": Finds(
        "expired", "statement", ("the statement has expired",), World.expire
    ),
    "flipped-byte-in-the-manifest": Finds(
        "wrong-manifest",
        "manifest",
        ("manifest: SHA-256", "the signed statement names"),
        change_detached(flip_manifest),
    ),
    "flipped-byte-in-the-packed-manifest": Finds(
        "bad-manifest",
        "manifest",
        ("zlib stream is damaged",),
        change_detached(flip_packed_manifest),
    ),
    "manifest-that-claims-a-terabyte": Finds(
        "bad-manifest", "manifest", ("at most",), change_detached(grow_manifest)
    ),
    "flipped-byte-in-the-grants": Finds(
        "wrong-grants", "grants", ("grants: SHA-256",), change_detached(flip_grants)
    ),
    "grants-of-another-commit": Finds("wrong-grants", "grants", ("grants: SHA-256",), swap_grants),
    "flipped-byte-in-the-pkcs7": Finds(
        "bad-signature",
        "signature",
        ("grants: signed by 0 of the trusted owners",),
        change_detached(flip_pkcs7),
    ),
    "pkcs7-of-another-shape": Finds(
        "bad-signature",
        "signature",
        ("not the one PKCS#7 template",),
        change_detached(flip_template),
    ),
    "flipped-byte-in-the-statement": Finds(
        "bad-signature", "signature", ("statement: signed by 0",), change_detached(flip_statement)
    ),
    "envelope-that-is-no-json": Finds(
        "bad-document", "statement", (), change_detached(spoil_envelope)
    ),
    "no-grants": Finds(
        "not-signed",
        "statement",
        ("no verity.grants in its detached metadata",),
        change_detached(lambda metadata: metadata.without(signed.GRANTS)),
    ),
    "replaced-object": Finds(
        "damaged-object",
        "object",
        ("/usr/share/big: ", "its checksum is"),
        replace_object("/usr/share/big"),
    ),
    "replaced-object-bare-user": Finds(
        "damaged-object",
        "object",
        ("/usr/share/big: ", "its checksum is"),
        replace_object("/usr/share/big"),
        mode="bare-user",
    ),
    "replaced-object-archive": Finds(
        "damaged-object",
        "object",
        ("/usr/bin/tool: ",),
        replace_object("/usr/bin/tool"),
        mode="archive",
    ),
    "truncated-object": Finds(
        "damaged-object", "object", ("/usr/share/big: ",), truncate_object("/usr/share/big")
    ),
    "truncated-object-archive": Finds(
        "damaged-object",
        "object",
        ("/usr/share/big: ", "cut off"),
        truncate_object("/usr/share/big"),
        mode="archive",
    ),
    "symlink-for-an-object": Finds("damaged-object", "object", (), link_object),
    "object-with-another-mode": Finds(
        "damaged-object",
        "object",
        ("/usr/bin/sudo: ",),
        lambda world: world.content("/usr/bin/sudo").chmod(0o755),
    ),
    # A missing object can't be checked (3), but any finding wins.
    "missing-object-beside-a-replaced-one": Finds(
        "damaged-object",
        "object",
        ("/usr/bin/tool: ",),
        both(remove_object("/usr/share/big"), replace_object("/usr/bin/tool")),
    ),
    "missing-object-of-a-flipped-grants": Finds(
        "wrong-grants",
        "grants",
        (),
        both(remove_object("/usr/share/big"), change_detached(flip_grants)),
    ),
}

USAGE = {
    "no-key": ("commit", "verify", *REPO, REF),
    "no-revision": VERIFY,
    "no-repository": ("commit", "verify", *KEY, REF),
    "unknown-verb": ("frobnicate",),
    "unknown-verb-of-a-noun": ("commit", "frobnicate"),
    "unknown-option": (*VERIFY, "--frobnicate", REF),
    "serial-0": (*SIGN[:-1], "0", "--key", "vendor.pem", UNSIGNED_REF),
    "serial-beyond-2^53": (*SIGN[:-1], str(2**53), "--key", "vendor.pem", UNSIGNED_REF),
    "unknown-algorithm": ("digest", "--hash-alg=md5", "vendor.pem"),
    "no-jobs": ("digest", "--jobs=0", "vendor.pem"),
    "threshold-0": (*VERIFY, "--threshold=0", REF),
}


def spoilt(copied: Callable[[str], World], mode: str, spoil: Callable[[World], object]) -> World:
    world = copied(mode)
    spoil(world)
    return world


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, copied: Callable[[str], World]) -> None:
    row = REFUSED[name]
    world = spoilt(copied, "bare", row.spoil)
    before = snapshot(world.path)
    done = verity(*row.args, cwd=world.path)
    assert done.status == row.status, done
    assert done.out == ""
    assert_clean_error(done, row.words, hint=row.hint)
    assert snapshot(world.path) == before


@pytest.mark.parametrize("name", FINDS)
def test_found(name: str, copied: Callable[[str], World]) -> None:
    row = FINDS[name]
    world = spoilt(copied, row.mode, row.spoil)
    before = snapshot(world.path)
    done = verity(*row.args, "--json", cwd=world.path)
    assert (done.status, done.err) == (1, ""), done
    found = [record for record in done.of_type("finding") if record["check"] == row.check]
    assert found, done.out
    first = found[0]
    assert first["link"] == row.link
    assert first["object"]
    for word in row.words:
        assert word in f"{first['object']}: {first['problem']}"
    assert done.records[-1]["exit_status"] == 1
    assert snapshot(world.path) == before


@pytest.mark.parametrize("name", ["manifest-of-another-commit", "replaced-object"])
def test_found_in_text(name: str, copied: Callable[[str], World]) -> None:
    row = FINDS[name]
    done = verity(*row.args, cwd=spoilt(copied, row.mode, row.spoil).path)
    assert (done.status, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"FINDING  {row.check}  ")
    assert lines[1] == f"         link of the chain: {row.link}"
    assert lines[2].startswith("         remedy:  ")


@pytest.mark.parametrize("name", USAGE)
def test_usage(name: str, bare: World) -> None:
    before = snapshot(bare.path)
    done = verity(*USAGE[name], cwd=bare.path)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert snapshot(bare.path) == before


def test_usage_errors_look_like_all_others(bare: World) -> None:
    done = verity(*USAGE["no-key"], cwd=bare.path)
    assert "verity: error: " in done.err
    assert "--key" in done.err


@pytest.mark.parametrize(
    ("path", "copies"),
    [("/usr/bin/tool", 1), ("/usr/share/big", 2)],
    ids=["used-once", "used-twice"],
)
def test_a_missing_object_could_not_be_checked(world: World, path: str, copies: int) -> None:
    remove_object(path)(world)
    done = verity(*VERIFY, "--json", REF, cwd=world.path)
    # However often the commit uses it, nothing says that the manifest is wrong.
    assert done.of_type("finding") == []
    assert (done.status, done.err) == (3, "")
    gaps = done.of_type("not-evaluated")
    assert {gap["check"] for gap in gaps} == {"no-such-object"}
    assert 1 <= len(gaps) <= copies
    assert path in [gap["object"] for gap in gaps] or copies > 1
    assert gaps[0]["hint"]


def test_a_missing_dirtree_could_not_be_checked(world: World) -> None:
    remove_root_dirtree(world)
    done = verity(*VERIFY, REF, cwd=world.path)
    assert (done.status, done.err) == (3, "")
    assert done.out.startswith("NOT EVALUATED  no-such-object  ")


def test_audit_reports_that_the_statement_has_expired(world: World) -> None:
    world.expire()
    done = verity(*AUDIT, "--json", cwd=world.path)
    assert done.status == 1
    assert "expired" in {record["check"] for record in done.of_type("finding")}


def test_explain_reports_that_the_statement_has_expired(world: World) -> None:
    world.expire()
    done = verity(*EXPLAIN, "/usr/share/link", cwd=world.path)
    assert done.status == 1
    assert "statement  BROKEN   what was signed, and until when" in done.out


def test_explain_what_nobody_signed(bare: World) -> None:
    done = verity(*EXPLAIN, "/usr/bin/evil", cwd=bare.path)
    assert done.status == 1
    assert "manifest   BROKEN   the manifest's line for this path" in done.out


def test_explain_names_the_broken_link(world: World) -> None:
    swap_detached(world)
    done = verity(*EXPLAIN, "/usr/bin/tool", cwd=world.path)
    assert done.status == 1
    assert done.out.splitlines()[1].startswith("commit     BROKEN ")


def test_objects_of_an_archive_are_not_files(copied: Callable[[str], World]) -> None:
    world = copied("archive")
    for verb in ("enable", "check"):
        done = verity("objects", verb, *REPO, *KEY, REF, cwd=world.path)
        assert (done.status, done.out) == (3, "")
        assert_clean_error(done, ("repo: a repository of the mode archive",), hint=True)


def test_replace_replaces_ours_and_keeps_the_rest(world: World) -> None:
    before = dict(world.detached().entries)
    done = verity(*SIGN, "--key", "other.pem", "--replace", REF, cwd=world.path)
    assert done.status == 0
    after = dict(world.detached().entries)
    assert list(after) == list(before)
    assert {name for name in after if after[name] != before[name]} == {
        signed.STATEMENT,
        signed.GRANTS,
        signed.GRANTS_SIGNATURES,
    }
    assert verity(*VERIFY, REF, cwd=world.path).status == 1
    assert verity("commit", "verify", *REPO, "--key=other.pem.pub", REF, cwd=world.path).status == 0


def test_an_error_escapes_what_it_quotes(tmp_path: Path) -> None:
    done = verity("commit", "show", "--repo", "no\x1b[2J\nverity: fine", "x", cwd=tmp_path)
    assert done.status == 3
    assert "\x1b" not in done.err
    assert_clean_error(done, (r"no\x1b[2J\x0averity: fine",), hint=True)
