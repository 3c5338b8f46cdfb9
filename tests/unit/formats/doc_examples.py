# SPDX-License-Identifier: Apache-2.0
"""The examples of docs/formats.md as values of the modules that write them: bytes, not text."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from tests.world import OTHER, ROOT, THIRD, VENDOR, keyring_of
from verity.formats import (
    accounts,
    acknowledged,
    bundle,
    challenge,
    dump,
    evidence,
    exception_request,
    floor_record,
    grants,
    kernel_keys,
    kernel_policy,
    keyring,
    pkcs7,
    policy_document,
    revoke,
    serial_record,
    statement,
    strictjson,
    unlock,
    waiver,
)
from verity.formats.acknowledged import Record, Written
from verity.formats.commit import Commit, DetachedMetadata, DirTree, Metadata, checksum_of
from verity.formats.dump import Entry
from verity.formats.etc_rules import FileClass
from verity.formats.evidence import Evidence
from verity.formats.exception_request import Request
from verity.formats.floor_record import RecordedFloor
from verity.formats.fsverity import digest_bytes
from verity.formats.gate_status import Act, Denial, Reason
from verity.formats.grant_rules import earned
from verity.formats.grants import Code, ConfigEntry, ConfigKind, Grants, Party, Role
from verity.formats.gvariant import Variant, encode
from verity.formats.kernel_guarded import Guarded, GuardedClass, Match
from verity.formats.kernel_keys import KernelKeys, Pin, sorted_keys
from verity.formats.kernel_policy import ActSet, KernelPolicy, Mode, Stream, UnlockLimit
from verity.formats.keyring import Revoked
from verity.formats.ostree_file import (
    ContentHasher,
    DirMeta,
    FileHeader,
)
from verity.formats.policy import Group, Guard, ModeLine, Policy, Profile, StreamLine
from verity.formats.records import Fragment, RecordKind
from verity.formats.revoke import Revoke, StreamFloor
from verity.formats.statement import Kind, Statement
from verity.formats.unlock import Scope, UnlockToken
from verity.formats.waiver import Waiver
from verity.values.audit import Area, AreaResult, Audit, Check, Head, Severity
from verity.values.findings import Finding, Link

DOCUMENT = Path("docs/formats.md")
COMMIT = bytes(range(32))
ISSUED, EXPIRES = 1_767_225_600, 1_798_761_600  # 2026-01-01, 2027-01-01
PING = b"#!\n"
CAP_NET_RAW = bytes.fromhex("0100000200200000" + "00" * 12)

ENTRIES = (
    Entry(path=b"/", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/usr", mode=0o40755, uid=0, gid=0),
    Entry(path=b"/usr/a b", mode=0o100644, uid=0, gid=0, digest=digest_bytes(b"").value),
    Entry(path=b"/usr/link", mode=0o120777, uid=0, gid=0, size=4, target=b"a b\\"),
    Entry(
        path=b"/usr/ping",
        mode=0o100755,
        uid=0,
        gid=0,
        size=len(PING),
        digest=digest_bytes(PING).value,
        xattrs=((b"security.capability", CAP_NET_RAW),),
    ),
)


def manifest() -> bytes:
    return dump.serialise(ENTRIES)


def blob() -> bytes:
    tables = earned(ENTRIES, {digest_bytes(PING).value: PING, digest_bytes(b"").value: b""})
    return grants.encode(
        Grants(
            party=Party.VENDOR,
            role=Role.OS,
            stream="debian-trixie",
            serial=7,
            issued=ISSUED,
            expires=EXPIRES,
            manifest_sha256=hashlib.sha256(manifest()).digest(),
            code=tables.code,
            elevate=tables.elevate,
            # Stands in real blobs of the role etc only.
            config=(
                ConfigEntry(
                    path=b"/etc/motd", kind=ConfigKind.FILE, digest=digest_bytes(b"").value
                ),
            ),
        )
    )


def payload() -> bytes:
    return statement.encode(
        Statement(
            kind=Kind.OS,
            stream="debian-trixie",
            serial=7,
            issued=ISSUED,
            expires=EXPIRES,
            subjects={
                "manifest": hashlib.sha256(manifest()).digest(),
                "grants": hashlib.sha256(blob()).digest(),
                "commit": COMMIT,
                "boot": hashlib.sha256(dump.boot_list(ENTRIES)).digest(),
            },
        )
    )


def signature() -> bytes:
    """A new one each time: for the document when the grants of the example change."""
    return pkcs7.encode(key_id=VENDOR.public.key_id, signature=VENDOR.sign(blob()))


def pin() -> bytes:
    """The user's root keys are OTHER and THIRD, of two owners who both must sign."""
    roots = {"one": [OTHER.public.spki], "another": [THIRD.public.spki]}
    keys = sorted_keys({Role.ROOT: roots})
    return kernel_keys.encode_pin(Pin(party=Party.USER, threshold=2, keys=keys))


def keys() -> bytes:
    """The vendor's key for the role os is VENDOR."""
    return kernel_keys.encode_keys(
        KernelKeys(
            party=Party.VENDOR,
            version=3,
            issued=ISSUED,
            expires=EXPIRES,
            thresholds={Role.OS: 1},
            keys=sorted_keys({Role.OS: {"vendor": [VENDOR.public.spki]}}),
        )
    )


def policy() -> bytes:
    return kernel_policy.encode(
        KernelPolicy(
            mode=Mode.SEALED,
            serial=4,
            issued=ISSUED,
            expires=EXPIRES,
            privileged_caps=kernel_policy.PRIVILEGED_CAPS,
            groups=(6, 42),
            streams=(
                Stream(name="debian-trixie", party=Party.VENDOR, role=Role.OS),
                Stream(name="tools", party=Party.USER, role=Role.EXTENSION),
            ),
            observed=frozenset({Reason.ANONYMOUS}),
            observed_acts=ActSet.USER_NAMESPACES,
            unlock=(UnlockLimit(scope=Scope.SESSION, seconds=3600, owners=2),),
            guarded=(Guarded(path=b"/etc", file_class=GuardedClass.SIGNED, match=Match.TREE),),
        )
    )


def policy_lines() -> bytes:
    """A policy document of few lines."""
    why, here = "off by default", "built-in/00-policy.toml [[mode]] 1"
    path, group = "/etc", "/etc/verity/policy.d/50-own.toml [[privileged]] 1"
    stream = Stream(name="debian-trixie", party=Party.VENDOR, role=Role.OS)
    return policy_document.encode(
        Policy(
            serial=4,
            issued=ISSUED,
            expires=EXPIRES,
            profile=Profile.STANDARD,
            lines=(
                ModeLine(mode=Mode.OBSERVE, reason=why, origin=here),
                Guard(
                    path=path,
                    file_class=FileClass.SIGNED,
                    reason="the configuration of the host",
                    origin="built-in/05-guarded.toml [[guarded]] 1",
                ),
                Group(gid=999, name="docker", reason="who starts containers is root", origin=group),
                StreamLine(stream=stream, reason="given as an option", origin="--stream"),
            ),
        )
    )


def fragment() -> bytes:
    """The grants and the signature of the examples, as a fragment of a bundle."""
    signatures = (bytes_of(EXAMPLES["pkcs7"]),)
    return bundle.encode([Fragment(kind=RecordKind.GRANTS, blob=blob(), signatures=signatures)])


def serials() -> bytes:
    """The serial of the statement."""
    return serial_record.encode("debian-trixie", {7: hashlib.sha256(payload()).digest()})


REVOKED = Revoked(
    keys=(THIRD.public.key_id,),
    digests=(digest_bytes(PING).value,),
    serials={"debian-trixie": 7},
)


def keyring_document() -> bytes:
    """Version 3 of the vendor's, whose key for the role os is VENDOR."""
    return keyring.encode(
        keyring_of(
            (Role.ROOT, "root", ROOT),
            (Role.OS, "vendor", VENDOR),
            streams=("debian-*",),
            version=3,
            issued=ISSUED,
            expires=EXPIRES,
            revoked=REVOKED,
        )
    )


def revocations() -> bytes:
    """The same revocations for the kernel."""
    return revoke.encode(
        Revoke(
            party=Party.VENDOR,
            role=Role.ROOT,
            serial=3,
            issued=ISSUED,
            keys=tuple(map(bytes.fromhex, REVOKED.keys)),
            digests=REVOKED.digests,
            streams=tuple(StreamFloor(stream=s, lowest=n) for s, n in REVOKED.serials.items()),
        )
    )


def bytes_of(text: str) -> bytes:
    found = b""
    for line in text.splitlines():
        offset, data = line.split("  ")
        assert int(offset) == len(found)
        found += bytes.fromhex(data)
    return found


def blocks(text: str) -> Iterator[tuple[str, str]]:
    yield from re.findall(r"^```example (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


EXAMPLES = dict(blocks(DOCUMENT.read_text()))


CHALLENGE = f"boot_nonce {'5a' * 32}\nhost_id {'c3' * 32}\npolicy_serial 4\nboot_clock_s 900\n"
REASON = "disk of rack 7"


def token() -> bytes:
    """Half an hour for what lies in a directory, asked for with the challenge."""
    found = challenge.parse(CHALLENGE.encode())
    return unlock.encode(
        UnlockToken(
            boot_nonce=found.boot_nonce,
            token_id=bytes(range(1, 17)),
            host_id=found.host_id,
            policy_serial=found.policy_serial,
            scope=Scope.PATH_PREFIX,
            duration_s=1800,
            apply_before_s=found.boot_clock_s + 3600,
            reason=unlock.reason_sha256(REASON),
            operand=b"/opt/rescue",
        )
    )


def acknowledged_record() -> bytes:
    """The record of one file that a program writes."""
    shadow = Written(
        path=b"/etc/shadow",
        mode=0o100640,
        uid=0,
        gid=42,
        digest=digest_bytes(b"").value,
        said=accounts.parse("shadow", b"root:*:1::::::"),
    )
    return acknowledged.encode(Record(issued=ISSUED, files=(shadow,)))


def waiver_document() -> bytes:
    """One program of the examples, on every host."""
    return waiver.encode(
        Waiver(
            host="*",
            check="mode",
            path=b"/usr/ping \xff",
            digest=digest_bytes(PING).value,
            reason="ticket 4711",
            issued=ISSUED,
            expires=EXPIRES,
        )
    )


def exception_document() -> bytes:
    """A script that was refused for want of fs-verity, on a host that has had one exception."""
    file = Entry(
        path=b"/opt/ping \xff",
        mode=0o100755,
        uid=0,
        gid=0,
        size=len(PING),
        digest=digest_bytes(PING).value,
    )
    above = [Entry(path=path, mode=0o40755, uid=0, gid=0) for path in (b"/", b"/opt")]
    return exception_request.encode(
        Request(
            host="c3" * 32,
            name="web-1",
            asked=ISSUED,
            entries=(*above, file),
            code=Code.SCRIPT,
            streams=(("exceptions", 1), ("tools", 0)),
            policy=4,
            denial=Denial(
                seq=42,
                boot_ms=8_123_507,
                denied=True,
                reason=Reason.NO_DIGEST,
                act=Act.EXEC,
                uid=0,
                pid=813,
                comm=b"bash",
                digest=None,
                path=file.path,
            ),
        )
    )


def evidence_document() -> bytes:
    """A host whose program lost its fs-verity, with the statement of the example."""
    found = Finding(
        check="no-verity",
        link=Link.DIGEST,
        object="/usr/ping",
        problem="fs-verity is off",
        expected="fs-verity on",
        found="fs-verity off",
        remedy="`verity objects enable` turns it on",
        path=b"/usr/ping",
    )
    (line,) = [text for text in manifest().decode().splitlines() if text.startswith("/usr/ping ")]
    return evidence.encode(
        Evidence(
            issued=ISSUED + 60,
            nonce=bytes(range(16)),
            audit=Audit(
                head=Head(
                    host_id="c3" * 32,
                    host_name="web-1",
                    root="/",
                    begun=ISSUED,
                    boot_id="b0" * 16,
                    kernel="6.12.0",
                    system="Debian 13",
                    state="off",
                    level="",
                    taints=(),
                    tool_version="0.1.0",
                    tool_digest="",
                    tool_verified=None,
                    enforced=False,
                    roots=(),
                    roots_given=False,
                    deep=False,
                ),
                checks=(
                    Check(
                        id="no-verity",
                        area=Area.FILES,
                        severity=Severity.HIGH,
                        title="every file has fs-verity",
                    ),
                ),
                areas=(AreaResult(area=Area.FILES, findings=(found,), counts={"files": 2}),),
            ),
            statements=(EXAMPLES["envelope"].removesuffix("\n").encode(),),
            lines={hashlib.sha256(manifest()).digest(): (line,)},
        )
    )


PING_HEADER = FileHeader(
    uid=0, gid=0, mode=0o100755, xattrs=((b"security.capability", CAP_NET_RAW),)
)
LINK_HEADER = FileHeader(uid=0, gid=0, mode=0o120777, target="ü/b".encode())
ROOT_META = DirMeta(uid=0, gid=0, mode=0o40755)


def content_checksum(header: FileHeader, contents: bytes) -> str:
    hasher = ContentHasher(header)
    hasher.update(contents)
    return hasher.checksum()


def dirtree() -> bytes:
    """A program, a symlink, and an empty directory."""
    empty = checksum_of(DirTree().encode())
    return DirTree(
        files=(
            (b"ping", content_checksum(PING_HEADER, PING)),
            ("ü".encode(), content_checksum(LINK_HEADER, b"")),
        ),
        dirs=((b"d", empty, checksum_of(ROOT_META.encode())),),
    ).encode()


def commit() -> bytes:
    return Commit(
        metadata=Metadata((("version", encode("v", Variant("s", "1"))),)),
        parent=COMMIT.hex(),
        subject="Ä",
        body="",
        timestamp=ISSUED,
        root_dirtree=checksum_of(dirtree()),
        root_dirmeta=checksum_of(ROOT_META.encode()),
    ).encode()


def commitmeta() -> bytes:
    return (
        DetachedMetadata()
        .with_byte_arrays("verity.statement", [b"{}"])
        .with_bytes("verity.grants", b"x")
        .encode()
    )


def filez_header() -> bytes:
    header = PING_HEADER.encode_filez(len(PING))
    return len(header).to_bytes(4, "big") + bytes(4) + header


def envelope() -> bytes:
    """A new one each time, as `signature`."""
    signed = VENDOR.sign(statement.pae(payload(), statement.PAYLOAD_TYPE))
    sig = base64.b64encode(signed).decode()
    return strictjson.canonical(
        {
            "payload": base64.b64encode(payload()).decode(),
            "payloadType": statement.PAYLOAD_TYPE,
            "signatures": [{"keyid": VENDOR.public.key_id, "sig": sig}],
        }
    )


def floors() -> bytes:
    """What a host has accepted, at the end of a bundle."""
    return floor_record.encode(
        [RecordedFloor(stream="debian-trixie", serial=7), RecordedFloor(stream="tools", serial=2)]
    )
