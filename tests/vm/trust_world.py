# SPDX-License-Identifier: Apache-2.0
"""What a host needs for the gate, made with the verbs that an operator uses, and the gate loaded.

One vendor key signs the image's tree as stream `debian-trixie` and further trees as streams of
their own; the user's keys sign the policy, which guards no configuration unless that is asked for,
and what is put into guarded places. The keys are made here, are kept unprotected in the
cache and are good for nothing else. What is slow, signing the tree, is kept with the layer.

It doesn't decide whether a machine is suited: boot it from `verity_root(image)`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from verity.formats import kernel_policy, records
from verity.formats.grants import ConfigEntry, Grants, Party, Role, encode
from verity.formats.kernel_guarded import Guarded
from verity.formats.records import RecordKind
from verity.ports import gate_object, keystore
from verity.verbs import fragments

from . import cache
from .debian import run
from .errors import VmError
from .image import Image
from .machine import Machine

OS_STREAM = "debian-trixie"
LOADER = "/usr/lib/verity/verity-load"
OBJECT = "/usr/lib/verity/gate.bpf.o"
PINS = "/etc/verity/pins"
BUNDLE = "/var/lib/verity/boot.bundle"
LOAD = f"{LOADER} --object {OBJECT} --pin {PINS}/vendor.pin --pin {PINS}/user.pin --bundle {BUNDLE}"

_KEYS = (
    *("vendor-root", "vendor-os"),
    *("user-root", "user-policy", "user-extension", "user-etc", "user-unlock"),
)
_EXTENSIONS = "tools"
DAYS = "3650"
_GUEST_TIMEOUT_S = 180.0


_REACTION = """
[[reaction]]
to = "{to}"
reaction = "{reaction}"
reason = "a test"
"""


@dataclass(frozen=True, kw_only=True)
class TrustWorld:
    """Files on this host: `keys` has NAME.pem and NAME.pem.pub, `host` what a host gets."""

    keys: Path
    host: Path

    def key(self, name: str) -> Path:
        """The private key NAME: vendor-root, vendor-os, user-root, user-policy, user-extension,
        user-etc, user-unlock."""
        return self.keys / f"{name}.pem"


def trust_world(
    image: Image,
    trees: Mapping[str, Path] | None = None,
    *,
    mode: str = "sealed",
    reactions: Mapping[str, str] | None = None,
    rules: str = "",
    guarded: Sequence[Guarded] = (),
    config: Mapping[str, Sequence[ConfigEntry]] | None = None,
    serial: int = 1,
) -> TrustWorld:
    """Pins and a boot bundle that grant the image's tree, and each of `trees` as its own stream.

    mode       the policy's: observe, trial or sealed
    trees      stream name to a directory; a directory's name in the cache must change with what is
               in it
    reactions  of the policy in place of the default's: to what -> deny or observe
    rules      a drop-in of the policy; with one, what the policy lists as interpreter or jit is so
               in the grants of `trees`
    guarded    the paths that the policy guards, in place of the defaults, which would have all of
               /etc signed
    config     stream name to what it grants at guarded paths, signed by the user's role etc
    serial     the policy's
    """
    code = Path(__file__).read_bytes()
    base = image.path / f"trust-{_key(code)}"
    cache.entry(base, lambda partial: _build_base(image.tree, partial))
    named = sorted((trees or {}).items())
    reacts = sorted((reactions or {}).items())
    places = {name: tuple(entries) for name, entries in sorted((config or {}).items())}
    lines = "".join(_REACTION.format(to=to, reaction=reaction) for to, reaction in reacts)
    host = (
        base / f"host-{_key(repr((mode, named, lines, rules, guarded, places, serial)).encode())}"
    )
    cache.entry(
        host,
        lambda at: _build_host(
            base, dict(named), (mode, serial), (lines, rules), guarded, places, at
        ),
    )
    return TrustWorld(keys=base / "keys", host=host)


def install(machine: Machine, world: TrustWorld) -> None:
    """Puts pins, bundle, loader and gate where the gate's unit expects them."""
    machine.run(f"mkdir -p -m 755 {PINS} {Path(BUNDLE).parent} {Path(LOADER).parent}")
    for party in ("vendor", "user"):
        machine.push(world.host / f"{party}.pin", f"{PINS}/{party}.pin")
    machine.push(world.host / "boot.bundle", BUNDLE)
    for found, place in ((gate_object.find_loader(), LOADER), (gate_object.find(), OBJECT)):
        if isinstance(found, gate_object.Missing):
            raise VmError(f"{place}: {found.reason}; {found.hint}")
        machine.push(found.path, place)


def load(machine: Machine, *options: str) -> str:
    """Loads the gate, and seals it if the policy says so; returns what the loader printed."""
    return machine.run(" ".join((LOAD, *options)), timeout_s=_GUEST_TIMEOUT_S).text


def sign_extension(world: TrustWorld, tree: Path, out: Path) -> bytes:
    """The grants of a tree as serial 1 of the user's extension, by the policy of this world."""
    sign = ("extension", "sign", "--key", world.key("user-extension"), "--stream", _EXTENSIONS)
    policy = ("--policy", world.host / "host.policy.json")
    verity(*sign, "--serial=1", "--tree", tree, *policy, out)
    return (out / "grants").read_bytes()


def _key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _build_base(tree: Path, partial: Path) -> None:
    keys = partial / "keys"
    keys.mkdir()
    for name in _KEYS:
        verity("key", "generate", keys / f"{name}.pem")
    for party in ("vendor", "user"):
        root = keys / f"{party}-root.pem"
        verity(
            "lockdown", "pin", "--party", party, "--root", f"{root}.pub", partial / f"{party}.pin"
        )
    roles = {
        "vendor": [f"os={keys}/vendor-os.pem.pub"],
        "user": [
            f"policy={keys}/user-policy.pem.pub",
            f"extension={keys}/user-extension.pem.pub",
            f"etc={keys}/user-etc.pem.pub",
            f"unlock={keys}/user-unlock.pem.pub",
        ],
    }
    for party, held in roles.items():
        named = [word for role in held for word in ("--role", role)]
        root = keys / f"{party}-root.pem"
        project = ("keyring", "project", "--party", party, "--version=1", f"--days={DAYS}")
        verity(*project, *named, "--key", root, partial / f"{party}.keys")
    sign_tree(keys / "vendor-os.pem", tree, OS_STREAM, partial / "os.grants")


def _build_host(
    base: Path,
    trees: dict[str, Path],
    mode: tuple[str, int],
    drop_ins: tuple[str, str],
    guarded: Sequence[Guarded],
    config: Mapping[str, Sequence[ConfigEntry]],
    partial: Path,
) -> None:
    keys = base / "keys"
    streams = [f"{name}=vendor:os" for name in (OS_STREAM, *trees)]
    streams += [f"{name}=user:etc" for name in config]
    named = [f"--stream={stream}" for stream in (*streams, f"{_EXTENSIONS}=user:extension")]
    compile_: tuple[str, ...] = ("policy", "compile", f"--mode={mode[0]}", f"--serial={mode[1]}")
    compile_ += (f"--days={DAYS}", *named)
    folder = partial / "root/etc/verity/policy.d"
    folder.mkdir(parents=True)
    (folder / "50-tests.toml").write_text("\n".join(drop_ins))
    key = keys / "user-policy.pem"
    verity(*compile_, f"--root={partial}/root", "--key", key, partial / "host.policy")
    _guard(keys, partial / "host.policy", guarded)
    grants = [base / "os.grants"]
    lists = [f"--policy={partial}/host.policy.json"] if drop_ins[1] else []
    for stream, tree in trees.items():
        sign_tree(keys / "vendor-os.pem", tree, stream, partial / f"{stream}.grants", *lists)
        grants.append(partial / f"{stream}.grants")
    for stream, entries in config.items():
        _sign_config(keys, stream, entries, partial / f"{stream}.grants")
        grants.append(partial / f"{stream}.grants")
    for party in ("vendor", "user"):
        (partial / f"{party}.pin").write_bytes((base / f"{party}.pin").read_bytes())
    pins = [f"--pin={party}={base}/{party}.pin" for party in ("vendor", "user")]
    sources = [f"--keys={base}/{party}.keys" for party in ("vendor", "user")]
    sources += [f"--policy={partial}/host.policy", *(f"--grants={path}" for path in grants)]
    verity("lockdown", "bundle", *pins, *sources, partial / "boot.bundle")


def _guard(keys: Path, file: Path, guarded: Sequence[Guarded]) -> None:
    """Signs the policy anew, with these guarded paths."""
    made = fragments.load(file)
    blob = kernel_policy.encode(
        replace(kernel_policy.parse(made.blob), guarded=tuple(sorted(guarded)))
    )
    signer = keystore.load_signer(str(keys / "user-policy.pem"))
    signed = fragments.sign(RecordKind.POLICY, blob, [signer], party=Party.USER, role=Role.POLICY)
    file.write_bytes(records.join([signed]))


def _sign_config(keys: Path, stream: str, entries: Sequence[ConfigEntry], out: Path) -> None:
    now = int(time.time())
    granted = Grants(
        party=Party.USER,
        role=Role.ETC,
        stream=stream,
        serial=1,
        issued=now,
        expires=now + int(DAYS) * 86400,
        manifest_sha256=bytes(32),
        config=tuple(sorted(entries)),
    )
    signer = keystore.load_signer(str(keys / "user-etc.pem"))
    signed = fragments.sign(
        RecordKind.GRANTS, encode(granted), [signer], party=Party.USER, role=Role.ETC
    )
    out.write_bytes(records.join([signed]))


def sign_tree(key: Path, tree: Path, stream: str, out: Path, *options: str) -> None:
    """Commits `tree`, signs the commit, keeps the grants with their signature as `out`."""
    repo = out.with_suffix(".repo")
    run(["ostree", f"--repo={repo}", "init", "--mode=bare"])
    run(["ostree", f"--repo={repo}", "commit", f"--branch={stream}", f"--tree=dir={tree}"])
    sign = ("commit", "sign", f"--repo={repo}", f"--key={key}", f"--days={DAYS}", *options)
    verity(*sign, f"--stream={stream}", "--serial=1", stream)
    out.write_bytes(verity("commit", "show", f"--repo={repo}", "--grants", stream))
    cache.remove_tree(repo)


def verity(*arguments: str | Path) -> bytes:
    """Runs the command line of this installation; its standard output, or VmError."""
    program = Path(sys.executable).with_name("verity")
    done = subprocess.run([program, *arguments], capture_output=True, timeout=300)
    if done.returncode != 0:
        words = " ".join(map(str, arguments))
        raise VmError(f"verity {words}: {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout
