# SPDX-License-Identifier: Apache-2.0
"""verity audit --evidence, --verify: the options, and what is printed of a capsule.

The options are kept with click's context and are no parameters of the command: that asks
``verifying`` and ``verify`` before it asks for anything else, ``begin`` before it audits, and calls
``Writing.end`` with the audit.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from verity.cli import audit_since, key_opening, output, trust_options
from verity.cli.params import PATH, Once, worse
from verity.values.errors import CallerError, HostError
from verity.values.findings import Report

# An audit without these options needs none of it.
if TYPE_CHECKING:
    from verity.ports.keystore import SigningKey
    from verity.trust.evidence import Demands, VerifiedEvidence
    from verity.trust.keys import PublicKey
    from verity.trust.trusted import TrustedSet
    from verity.values.audit import Audit
    from verity.values.snapshot import Snapshot
    from verity.verbs.evidence_said import Judged
    from verity.verbs.evidence_trust import Accepted
    from verity.verbs.evidence_verify import ManifestOf
    from verity.verbs.signed import SignedCommit

_META = "verity.evidence."
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _kept(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    context.meta[f"{_META}{parameter.name}"] = value
    return value


def _asked(name: str) -> Any:
    return click.get_current_context().meta.get(f"{_META}{name}")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--evidence, --verify and what belongs to them."""
    for option in (
        _option(
            "--manifest", "With --verify: the signed manifest, to prove the lines of findings."
        ),
        _option(
            "--max-age",
            "With --verify: refuse a capsule that is older, such as 90m, 12h or 7d.",
            metavar="TIME",
        ),
        _option("--host", "With --verify: the id of the host that it must be of.", metavar="ID"),
        _option(
            "--previous",
            "The capsule before this one: a new one names it, --verify holds it against it.",
        ),
        _option(
            "--nonce",
            "The auditor's number: a new capsule has it, --verify demands it.  8 to 64 bytes.",
            metavar="HEX",
        ),
        click.option(
            "--evidence-key",
            "evidence_keys",
            multiple=True,
            metavar="KEY",
            expose_value=False,
            callback=_kept,
            help="Who signs the capsule: a path, file:PATH, pkcs11:... or a KMS; repeat it for"
            " more. With --verify the public key, FILE.pub, that may have.  [default with"
            " --verify: the role evidence of the keyrings]",
        ),
        _option("--verify", "Verify a capsule, here and without its host; audits nothing."),
        _option("--evidence", "Write a signed capsule of this audit; nothing is overwritten."),
        key_opening.passphrase_option,
    ):
        command = option(command)
    return command


def _option(name: str, text: str, *, metavar: str = "FILE") -> Callable[..., Any]:
    kind: dict[str, Any] = {"type": PATH} if metavar == "FILE" else {}
    return click.option(
        name, cls=Once, metavar=metavar, expose_value=False, callback=_kept, help=text, **kind
    )


def verifying() -> bool:
    """Whether --verify is there. CallerError for options that don't go together."""
    verify_it = _asked("verify") is not None
    writes = _asked("evidence") is not None
    if verify_it and writes:
        raise CallerError("bad-arguments", "--evidence makes a capsule, --verify reads one")
    for name in ("host", "max_age", "manifest"):
        if _asked(name) is not None and not verify_it:
            raise CallerError("bad-arguments", f"--{name.replace('_', '-')} belongs to --verify")
    for name in ("nonce", "previous"):
        if _asked(name) is not None and not (verify_it or writes):
            raise CallerError("bad-arguments", f"--{name} belongs to --evidence or --verify")
    if _asked("evidence_keys") and not (verify_it or writes or audit_since.asked()):
        raise CallerError(
            "bad-arguments", "--evidence-key belongs to --evidence, --verify or --since"
        )
    return verify_it


@dataclass(frozen=True, kw_only=True)
class Writing:
    """A capsule that will be written when the audit is there."""

    target: Path
    keys: "Sequence[SigningKey]"
    nonce: bytes
    previous: bytes | None

    def end(
        self, audit: "Audit", root: Path, *, commit: "SignedCommit | None", repo: Path | None
    ) -> None:
        """Sign it and write it."""
        from verity.ports.ostree_repo import Repository
        from verity.verbs import evidence_make

        envelopes: tuple[bytes, ...] = ()
        if commit is not None and repo is not None:
            with Repository(repo) as repository:
                envelopes = evidence_make.of_commit(repository, commit)
        found = evidence_make.collect(
            root,
            audit,
            evidence_make.Bound(issued=int(time.time()), nonce=self.nonce, previous=self.previous),
            envelopes=envelopes,
            manifest=None if commit is None else commit.manifest,
        )
        made = evidence_make.write(found, self.keys, self.target)
        for name, why in found.left_out.items():
            output.message(f"warning: the capsule has no {name}: {output.one_line(why)}")
        output.message(f"evidence: {self.target}, capsule sha256:{made.digest.hex()}")


def begin() -> Writing | None:
    """Open the keys of --evidence and look at what it needs, before an audit that takes its time;
    None without it."""
    target: Path | None = _asked("evidence")
    if target is None:
        return None
    uris: tuple[str, ...] = _asked("evidence_keys") or ()
    if not uris:
        raise CallerError(
            "bad-arguments",
            "--evidence: nobody signs it",
            hint="--evidence-key KEY; `verity key generate` makes one for this host",
        )
    if os.path.lexists(target):
        raise HostError(
            "exists",
            f"{target}: exists already and is not overwritten",
            hint="choose another name",
        )
    from verity.ports import capsules

    before: Path | None = _asked("previous")
    return Writing(
        target=target,
        keys=[key_opening.signer(uri) for uri in uris],
        nonce=_nonce() or b"",
        previous=None if before is None else capsules.read(before).digest,
    )


def verify(keys: tuple[Path, ...], threshold: int, *, repo: Path | None, as_json: bool) -> int:
    """Verify the capsule of --verify and print what it says, and why it can be believed."""
    from verity.ports import capsules
    from verity.verbs import evidence_verify
    from verity.verbs.audit_since import of_evidence

    accepted = accepted_keys(keys, threshold)
    now = int(time.time())
    path: Path = _asked("verify")
    judged = evidence_verify.verify(
        capsules.read(path).sealed,
        accepted,
        _demands(accepted, now),
        now=now,
        manifest_of=_manifest_of(repo),
    )
    before = audit_since.asked()
    if before is not None:
        after = of_evidence(judged.capsule.evidence, str(path))
        status = audit_since.show(before, accepted, after, as_json=as_json)
        return worse(status, judged.exit_status)
    return show(judged, as_json=as_json)


def since(
    path: Path,
    writing: Writing | None,
    keys: tuple[Path, ...],
    threshold: int,
    after: "Snapshot",
    *,
    as_json: bool,
) -> int:
    """Print what changed from the audit in a file; a capsule in it is by the key that signs the
    new one, if one does."""
    from verity.verbs.evidence_trust import Accepted

    if writing is None:
        accepted = accepted_keys(keys, threshold)
    else:
        accepted = Accepted(pins={}, evidence=_any_of([key.public for key in writing.keys]))
    return audit_since.show(path, accepted, after, as_json=as_json)


def accepted_keys(keys: tuple[Path, ...], threshold: int) -> "Accepted":
    """Whose signatures count, by the options: pins and keyrings, or keys by name."""
    from verity.verbs import keyring_trust
    from verity.verbs.evidence_trust import Accepted

    pins, directory, without_user = trust_options.named()
    directories = [] if directory is None else [directory]
    if not pins and not keys:
        try:
            pins = keyring_trust.host_pins(Path("/"))
            directories = directories or keyring_trust.host_directories(Path("/"))
        except HostError as error:
            if error.code != "no-pin":
                raise
    named = _asked("evidence_keys") or ()
    return Accepted(
        pins=pins,
        directories=directories,
        evidence=_any_of([key_opening.public_key(Path(name)) for name in named]) if named else None,
        statements=trust_options.trusted_set(keys, threshold) if keys else None,
        without_user=without_user,
        allow_example_keys=key_opening.access().allow_example_keys,
    )


def _any_of(keys: "Sequence[PublicKey]") -> "TrustedSet":
    """One signature by any of these keys is enough."""
    from verity.formats.grants import Party, Role
    from verity.trust.trusted import TrustedSet

    return TrustedSet.of_keys(
        keys,
        party=Party.USER,
        role=Role.EVIDENCE,
        allow_example_keys=True,  # whoever opened them has decided
    )


def read(path: Path, accepted: "Accepted") -> "VerifiedEvidence":
    """A capsule whose signature is verified, and nothing else of it."""
    from verity.formats import evidence
    from verity.ports import capsules
    from verity.trust.evidence import verify_evidence
    from verity.verbs import evidence_trust

    found = capsules.read(path)
    trust = evidence_trust.of(evidence.parse(found.payload), accepted)
    return verify_evidence(found.sealed, trust.evidence)


def _demands(accepted: "Accepted", now: int) -> "Demands":
    from verity.trust.evidence import Demands

    before: Path | None = _asked("previous")
    host: str | None = _asked("host")
    if host is not None and not _is_hex(host, 64, 64):
        raise CallerError("bad-arguments", f"--host {host[:80]!r}: not 64 lower-case hex digits")
    return Demands(
        nonce=_nonce(),
        host=host,
        max_age=_seconds(),
        previous=None if before is None else read(before, accepted),
    )


def _manifest_of(repo: Path | None) -> "ManifestOf | None":
    path: Path | None = _asked("manifest")
    if path is not None:
        from verity.verbs import manifest

        data = manifest.load(path)
        return lambda statement: data
    if repo is None:
        return None
    from verity.ports.ostree_repo import Repository
    from verity.verbs import signed

    def of(statement: Any) -> bytes:
        checksum = statement.statement.subjects["commit"].hex()
        with Repository(repo) as repository:
            return signed.manifest_bytes(repository.read_detached(checksum), checksum)

    return of


def show(judged: "Judged", *, as_json: bool) -> int:
    """Print a capsule that was verified; the exit status."""
    from verity.verbs.evidence_said import Basis

    capsule, audit = judged.capsule, judged.capsule.evidence.audit
    signers = sorted(key.key_id for key in capsule.signers.values())
    if as_json:
        output.record(
            "capsule",
            {
                "sha256": capsule.digest.hex(),
                "signers": signers,
                "host_id": audit.head.host_id,
                "boot_id": audit.head.boot_id,
                "nonce": capsule.evidence.nonce.hex(),
                "state": audit.state,
            },
        )
        for one in judged.said:
            output.record(
                "said",
                {
                    "what": one.what,
                    "basis": one.basis.name.lower().replace("_", "-"),
                    "value": one.value,
                    "depends": one.depends,
                },
            )
    else:
        output.line(f"capsule sha256:{capsule.digest.hex()}")
        output.line(f"signed by key {', '.join(signers)}")
        for basis in Basis:
            rows = [one for one in judged.said if one.basis is basis]
            if rows:
                output.line(f"{basis}:")
            for one in rows:
                output.line(f"    {one.what}: {output.one_line(one.value)}")
                if one.depends and basis is not Basis.HOST_KEY:
                    output.line(f"        the host's word is {one.depends}")
    counts = {
        "findings of the audit": len(audit.findings),
        "findings of this verification": len(judged.findings),
        "waived": len(audit.waived),
    }
    return output.report(
        Report(
            counts=counts,
            findings=(*judged.findings, *audit.findings),
            not_evaluated=(*judged.gaps, *audit.not_evaluated),
            notes=tuple(judged.notes),
        ),
        as_json=as_json,
        good=lambda: "good: the capsule, and what it says of its host",
    )


def _nonce() -> bytes | None:
    from verity.formats.evidence import MAX_NONCE, MIN_NONCE

    text: str | None = _asked("nonce")
    if text is None:
        return None
    if not _is_hex(text, 2 * MIN_NONCE, 2 * MAX_NONCE):
        raise CallerError(
            "bad-arguments",
            f"--nonce {text[:80]!r}: not {MIN_NONCE} to {MAX_NONCE} bytes in lower-case hex",
            hint="`openssl rand -hex 16` makes one",
        )
    return bytes.fromhex(text)


def _seconds() -> int | None:
    text: str | None = _asked("max_age")
    if text is None:
        return None
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not number.isascii() or not number.isdecimal() or len(number) > 9:
        raise CallerError(
            "bad-arguments", f"--max-age {text[:80]!r}: not a number with s, m, h or d behind it"
        )
    return int(number) * _UNITS[unit]


def _is_hex(text: str, least: int, most: int) -> bool:
    return (
        least <= len(text) <= most and len(text) % 2 == 0 and set(text) <= set("0123456789abcdef")
    )
