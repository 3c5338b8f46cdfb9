# SPDX-License-Identifier: Apache-2.0
"""Signatures of commits both ways: stock ostree, gpg and openssl against us.

Debian's ostree has GPG and `dummy` only, so GPG is checked against it and the two others against
openssl, in the layout that tests/unit/trust/test_native.py takes apart.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Done, stock, verity
from tests.cli.worlds import make_tree
from verity.ports.ostree_repo import Repository

USER = "signer@example.org"
REF = "os/main"
GPG_KEYS, ED, SPKI = "ostree.gpgsigs", "ostree.sign.ed25519", "ostree.sign.spki"


@contextlib.contextmanager
def home(expires: str = "never") -> Iterator[Path]:
    """A GnuPG home with one throw-away key and its export; short, for the agent's socket."""
    path = Path(tempfile.mkdtemp(prefix="vg"))
    try:
        gpg(path, "--passphrase", "", "--quick-gen-key", USER, "ed25519", "sign", expires)
        gpg(path, "--output", str(path / "keys.gpg"), "--export")
        yield path
    finally:
        stock("gpgconf", "--homedir", path, "--kill", "all", cwd=Path("/"))
        shutil.rmtree(path)


def gpg(path: Path, *args: str) -> str:
    return stock("gpg", "--batch", "--yes", "--homedir", path, *args, cwd=path)


@pytest.fixture(scope="module")
def signer() -> Iterator[Path]:
    with home() as path:
        yield path


class Repo:
    """An archive repository with one commit, and keys of every kind beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        make_tree(path / "tree")
        stock("ostree", "--repo=repo", "init", "--mode=archive", cwd=path)
        self.commit = self.make()
        assert verity("key", "generate", "vendor.pem", cwd=path).status == 0
        stock("openssl", "genpkey", "-algorithm", "ed25519", "-out", "ed.pem", cwd=path)
        stock("openssl", "genpkey", "-algorithm", "rsa", "-out", "rsa.pem", cwd=path)
        for name, curve in (("ec", "P-256"), ("p384", "P-384"), ("p521", "P-521")):
            option = ("-pkeyopt", f"ec_paramgen_curve:{curve}")
            out = ("-out", f"{name}.pem")
            stock("openssl", "genpkey", "-algorithm", "ec", *option, *out, cwd=path)
        for name in ("ed", "rsa", "ec", "p384", "p521"):
            (path / f"{name}.pem").chmod(0o600)
            stock(
                *("openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pem.pub"),
                cwd=path,
            )

    def make(self, *options: str) -> str:
        command = ("ostree", "--repo=repo", "commit", "-b", REF, *options, "tree")
        return stock(*command, cwd=self.path).split()[-1]

    def ostree(self, *args: str, repo: str = "repo") -> str:
        return stock("ostree", f"--repo={repo}", *args, cwd=self.path)

    def sign(self, *options: str, serial: int = 1) -> None:
        args = ("commit", "sign", "--repo=repo", "--key=vendor.pem", "--stream=os")
        done = verity(*args, f"--serial={serial}", *options, REF, cwd=self.path)
        assert done.status == 0, done.err

    def verify(self, *options: str, repo: str = "repo", ref: str = REF) -> Done:
        args = ("commit", "verify", f"--repo={repo}", "--key=vendor.pem.pub", "--root=tree")
        return verity(*args, "--json", *options, ref, cwd=self.path)

    def raw(self) -> bytes:
        with Repository(self.path / "repo") as repository:
            return repository.read_commit(self.commit)[0]

    def signatures(self, key: str, repo: str = "repo") -> tuple[bytes, ...]:
        with Repository(self.path / repo) as repository:
            return repository.read_detached(self.commit).get_byte_arrays(key)

    def append(self, key: str, value: bytes) -> None:
        with Repository(self.path / "repo") as repository:
            before = repository.read_detached(self.commit)
            after = before.with_appended(key, "aay", value)
            repository.write_detached(self.commit, after, expected=before)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path)


def judged(done: Done) -> list[tuple[str, int, str]]:
    return [(r["engine"], r["number"], r["verdict"]) for r in done.of_type("ostree-signature")]


def checks(done: Done) -> list[str]:
    return [record["check"] for record in done.of_type("finding")]


# --- OpenPGP -------------------------------------------------------------------------------


def test_we_verify_what_ostree_signed(repo: Repo, signer: Path) -> None:
    """By `ostree commit --gpg-sign`, then by `ostree gpg-sign` again, then beside ours."""
    options = (f"--gpg-sign={USER}", f"--gpg-homedir={signer}")
    repo.commit = repo.make("--subject=signed at once", *options)
    keyring = ("--gpg-keyring", str(signer / "keys.gpg"))
    assert judged(repo.verify(*keyring)) == [("gpg", 1, "good")]
    assert checks(repo.verify(*keyring)) == ["not-signed"]
    repo.sign(f"--gpg-sign={USER}", f"--gpg-homedir={signer}")
    done = repo.verify(*keyring)
    assert (done.status, judged(done)) == (0, [("gpg", 1, "good"), ("gpg", 2, "good")])
    (fingerprint,) = {record["by"] for record in done.of_type("ostree-signature")}
    assert fingerprint in gpg(signer, "--fingerprint", "--with-colons")
    text = verity(
        *("commit", "verify", "--repo=repo", "--key=vendor.pem.pub", *keyring, REF), cwd=repo.path
    )
    assert text.out.startswith(f"ostree signature  gpg 1: good, by {fingerprint}\n")


def test_we_verify_what_gpg_sign_added(repo: Repo, signer: Path) -> None:
    repo.sign()
    repo.ostree("gpg-sign", f"--gpg-homedir={signer}", repo.commit, USER)
    done = repo.verify("--gpg-keyring", str(signer / "keys.gpg"))
    assert (done.status, judged(done)) == (0, [("gpg", 1, "good")])


def test_stock_verifies_what_we_signed(repo: Repo, signer: Path) -> None:
    repo.sign(f"--gpg-sign={USER}", f"--gpg-homedir={signer}", "--ostree-sign=ed.pem")
    repo.ostree("init", "--mode=archive", repo="client")
    imported = f"--gpg-import={signer / 'keys.gpg'}"
    repo.ostree("remote", "add", imported, "r", f"file://{repo.path}/repo", repo="client")
    repo.ostree("pull", "r", REF, repo="client")
    assert "Good signature" in repo.ostree(
        "show", "--gpg-verify-remote=r", f"r:{REF}", repo="client"
    )
    assert repo.verify("--ostree-key=ed.pem.pub", repo="client", ref=f"r:{REF}").status == 0


def test_an_armored_keyring(repo: Repo, signer: Path) -> None:
    repo.sign(f"--gpg-sign={USER}", f"--gpg-homedir={signer}")
    gpg(signer, "--armor", "--output", str(repo.path / "keys.asc"), "--export")
    assert judged(repo.verify("--gpg-keyring", "keys.asc")) == [("gpg", 1, "good")]


def test_openpgp_of_another_key_of_something_else_and_of_no_form(repo: Repo, signer: Path) -> None:
    repo.sign()
    with home() as stranger:
        for where in (stranger, signer):
            (where / "data").write_bytes(repo.raw() + (b"" if where is stranger else b"!"))
            gpg(where, "--detach-sign", "--output", str(where / "sig"), str(where / "data"))
            repo.append(GPG_KEYS, (where / "sig").read_bytes())
        strange = (stranger / "sig").read_bytes()
    # A message that carries contents of its own proves nothing about the commit.
    gpg(signer, "--sign", "--output", str(signer / "message"), str(signer / "data"))
    for value in ((signer / "message").read_bytes(), b"", b"nonsense", strange * 2):
        repo.append(GPG_KEYS, value)
    done = repo.verify("--gpg-keyring", str(signer / "keys.gpg"))
    assert done.status == 1
    assert checks(done) == ["no-native-signature"]
    verdicts = [verdict for _, _, verdict in judged(done)]
    assert verdicts[:2] == ["no-key", "bad"]
    assert verdicts[2:] == ["malformed"] * 4
    # All of that hides no good one.
    repo.sign("--replace", f"--gpg-sign={USER}", f"--gpg-homedir={signer}", serial=2)
    done = repo.verify("--gpg-keyring", str(signer / "keys.gpg"))
    assert (done.status, judged(done)[-1]) == (0, ("gpg", 7, "good"))


def test_openpgp_by_a_revoked_key(repo: Repo) -> None:
    with home() as path:
        repo.sign(f"--gpg-sign={USER}", f"--gpg-homedir={path}")
        keyring = ("--gpg-keyring", str(path / "keys.gpg"))
        assert judged(repo.verify(*keyring)) == [("gpg", 1, "good")]
        (certificate,) = (path / "openpgp-revocs.d").iterdir()
        # gpg puts a colon before the first line, so that nobody imports it by accident.
        certificate.write_text(certificate.read_text().replace("\n:-----BEGIN", "\n-----BEGIN"))
        gpg(path, "--import", str(certificate))
        gpg(path, "--output", str(path / "keys.gpg"), "--export")
        done = repo.verify(*keyring)
    assert (done.status, judged(done)) == (1, [("gpg", 1, "revoked")])


def test_openpgp_by_an_expired_key(repo: Repo) -> None:
    with home(expires="seconds=1") as path:
        repo.sign(f"--gpg-sign={USER}", f"--gpg-homedir={path}", "--ostree-sign=ed.pem")
        subprocess.run(["sleep", "2"], check=True)
        done = repo.verify("--gpg-keyring", str(path / "keys.gpg"))
    assert (done.status, judged(done)) == (1, [("gpg", 1, "expired")])


def test_a_file_that_is_no_keyring(repo: Repo) -> None:
    repo.sign()
    done = repo.verify("--gpg-keyring", "vendor.pem.pub")
    assert done.status == 1
    assert "vendor.pem.pub: gpg finds no OpenPGP keys in it" in done.err
    assert repo.verify("--gpg-keyring", "nothing").status == 3


# --- Ed25519 and spki ----------------------------------------------------------------------

DIGEST = ("openssl", "dgst", "-sha256")
PURE = ("openssl", "pkeyutl", "-rawin")


@pytest.mark.parametrize(
    ("name", "key"), [("ed", ED), ("ec", SPKI), ("rsa", SPKI)], ids=["ed25519", "p256", "rsa"]
)
def test_openssl_verifies_ours_and_we_verify_its(repo: Repo, name: str, key: str) -> None:
    (repo.path / "raw").write_bytes(repo.raw())
    repo.sign(f"--ostree-sign={name}.pem")
    (ours,) = repo.signatures(key)
    (repo.path / "sig").write_bytes(ours)
    public = f"{name}.pem.pub"
    check: tuple[str, ...]
    make: tuple[str, ...]
    if name == "ed":
        check = (*PURE, "-verify", "-pubin", "-inkey", public, "-in", "raw", "-sigfile", "sig")
        make = (*PURE, "-sign", "-inkey", "ed.pem", "-in", "raw", "-out", "sig")
    else:
        check = (*DIGEST, "-verify", public, "-signature", "sig", "raw")
        make = (*DIGEST, "-sign", f"{name}.pem", "-out", "sig", "raw")
    stock(*check, cwd=repo.path)
    stock(*make, cwd=repo.path)
    repo.append(key, (repo.path / "sig").read_bytes())
    done = repo.verify("--ostree-key", public)
    assert done.status == 0
    assert [verdict for _, _, verdict in judged(done)] == ["good", "good"]


@pytest.mark.parametrize("name", ["p384", "p521"])
def test_an_spki_signature_on_another_curve(repo: Repo, name: str) -> None:
    """As ostree's engine makes it, which leaves the digest to OpenSSL: SHA-256."""
    (repo.path / "raw").write_bytes(repo.raw())
    stock(*DIGEST, "-sign", f"{name}.pem", "-out", "sig", "raw", cwd=repo.path)
    repo.sign()
    repo.append(SPKI, (repo.path / "sig").read_bytes())
    done = repo.verify("--ostree-key", f"{name}.pem.pub")
    assert (done.status, judged(done)) == (0, [("spki", 1, "good")])
    revoked = ("--ostree-revoked", f"{name}.pem.pub")
    done = repo.verify("--ostree-key", f"{name}.pem.pub", *revoked)
    assert (done.status, judged(done)) == (1, [("spki", 1, "revoked")])
    refused = verity(
        *("commit", "sign", "--repo=repo", "--key=vendor.pem", "--stream=os", "--serial=2"),
        *(f"--ostree-sign={name}.pem", "--replace", REF),
        cwd=repo.path,
    )
    assert refused.status == 1
    assert "neither ECDSA P-256" in refused.err


# --- stock ostree after our signing --------------------------------------------------------


def dummy(repo: Repo, *args: str) -> str:
    command = ["ostree", "--repo=repo", "sign", "--sign-type=dummy", *args]
    environment = {**os.environ, "OSTREE_DUMMY_SIGN_ENABLED": "1"}
    done = subprocess.run(command, cwd=repo.path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_dummy_engine_keeps_its_signature_and_ours(repo: Repo) -> None:
    dummy(repo, repo.commit, "SEKRIT")
    repo.sign("--ostree-sign=ed.pem", "--ostree-sign=ec.pem")
    assert repo.signatures("ostree.sign.dummy") == (b"SEKRIT",)
    assert "Signature verified" in dummy(repo, "--verify", repo.commit, "SEKRIT")
    # And the other way: what stock adds later leaves ours good.
    dummy(repo, repo.commit, "MORE")
    done = repo.verify("--ostree-key=ed.pem.pub", "--ostree-key=ec.pem.pub")
    assert (done.status, judged(done)) == (0, [("ed25519", 1, "good"), ("spki", 1, "good")])


def test_stock_works_on_with_every_kind_of_signature(repo: Repo, signer: Path) -> None:
    keys = ("--ostree-sign=ed.pem", "--ostree-sign=ec.pem", "--ostree-sign=rsa.pem")
    repo.sign(*keys, f"--gpg-sign={USER}", f"--gpg-homedir={signer}")
    repo.ostree("fsck")
    assert repo.commit in repo.ostree("show", repo.commit)
    repo.ostree("checkout", "--user-mode", REF, "out")
    assert (repo.path / "out/usr/share/big").read_bytes() == (
        repo.path / "tree/usr/share/big"
    ).read_bytes()
    repo.ostree("init", "--mode=archive", repo="copy")
    repo.ostree("pull-local", "repo", REF, repo="copy")
    repo.ostree("fsck", repo="copy")
    for key in (ED, SPKI, GPG_KEYS):
        assert repo.signatures(key, "copy") == repo.signatures(key)
    assert repo.verify("--ostree-key=rsa.pem.pub", repo="copy").status == 0


# --- what stock ostree lets through --------------------------------------------------------


def client(repo: Repo, signer: Path) -> None:
    """A client that verifies OpenPGP as strictly as stock can."""
    repo.ostree("init", "--mode=archive", repo="client")
    options = (f"--gpg-import={signer / 'keys.gpg'}", "--set=gpg-verify=true")
    repo.ostree("remote", "add", *options, "r", f"file://{repo.path}/repo", repo="client")


def test_let_through_a_replaced_content_object(repo: Repo, signer: Path) -> None:
    repo.sign(f"--gpg-sign={USER}", f"--gpg-homedir={signer}")
    with Repository(repo.path / "repo") as repository:
        names = {path: name for path, name, _ in repository.paths(repo.commit)}
        good, evil = (
            Path(repository.object_label(names[path], "filez"))
            for path in (b"/usr/bin/tool", b"/usr/bin/sudo")
        )
    (repo.path / good).write_bytes((repo.path / evil).read_bytes())
    client(repo, signer)
    repo.ostree("pull", "r", REF, repo="client")  # succeeds
    done = repo.verify(repo="client", ref=f"r:{REF}")
    assert checks(done) == ["damaged-object"]
    (finding,) = done.of_type("finding")
    assert finding["object"] == "/usr/bin/tool"


def test_let_through_an_unsigned_commit_by_local_pull(repo: Repo, signer: Path) -> None:
    client(repo, signer)
    repo.ostree("pull-local", "--remote=r", "repo", REF, repo="client")  # succeeds
    assert checks(repo.verify(repo="client", ref=f"r:{REF}")) == ["not-signed"]


def test_let_through_a_downgrade_to_an_older_signed_commit(repo: Repo, signer: Path) -> None:
    gpg_sign = (f"--gpg-sign={USER}", f"--gpg-homedir={signer}")
    repo.sign(*gpg_sign, serial=1)
    older = repo.commit
    newer = repo.make("--subject=newer")
    repo.sign(*gpg_sign, serial=2)
    client(repo, signer)
    floors = ("--floors", "floors")
    repo.ostree("pull", "r", REF, repo="client")
    done = repo.verify(*floors, "--accept-without-floor", repo="client", ref=f"r:{REF}")
    assert done.status == 0
    (repo.path / "repo/refs/heads" / REF).write_text(older + "\n")
    repo.ostree("pull", "r", REF, repo="client")  # succeeds
    assert repo.ostree("rev-parse", f"r:{REF}", repo="client").strip() == older != newer
    assert checks(repo.verify(*floors, repo="client", ref=f"r:{REF}")) == ["below-floor"]
