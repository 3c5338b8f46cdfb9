# SPDX-License-Identifier: Apache-2.0
"""What a server needs that is sealed with the default policy, signed with an operator's verbs.

Unlike `trust_world` it takes the policy as it comes with verity, its lists of interpreters and its
guarded places, and makes keyrings and not only what the kernel is told of them, so that verity's
own verbs work on the host. Streams:

    debian-trixie   vendor os; everything in the image's tree
    verity          vendor os; verity itself and what it stands on, as its wheel brings it
    site            vendor os; small OSTree commits, serial 1 and 2, which the host pulls
    tools           user extension; nothing at the start
    etc-server      user etc; nothing at the start: the host's own /etc is signed on the host, and
                    keyrings, pins and policy with it

What is slow, signing the image's tree, is kept with the image; the rest with each wheel.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

from . import cache, trust_world, wheel
from .debian import run
from .image import Image
from .trust_world import DAYS, OS_STREAM, sign_tree, verity

SITE, VERITY, ETC_STREAM = "site", "verity", "etc-server"
REPO = "var/vendor/repo"
"""The vendor's repository, below the root of the host; branches site/1 and site/2."""
PARTS = "var/lib/verity/parts"
"""What the boot bundle was made of, kept on the host to make the next one."""
KEYRINGS = "etc/verity/keyrings"

_SPECIMEN = Path(__file__).parent / "gate_tools/specimen.c"
_CC = ("cc", "-static", "-O1", "-s", "-Wall", "-Wextra", "-Werror")
_PARTIES = ("vendor", "user")


@dataclass(frozen=True, kw_only=True)
class ServerWorld:
    """`private`: the keys, PARTY-ROLE.pem; `host`: a tree that is laid over a host's root, of which
    `protected` get fs-verity: all that verity's wheel brings but modules of Python."""

    private: Path
    host: Path
    protected: tuple[str, ...]


def server_world(image: Image, wheel_path: Path) -> ServerWorld:
    """Keys, keyrings, pins, policy, grants and boot bundle for a host with this image and wheel."""
    wanted = wheel.read_wheel(wheel_path)
    sources = (Path(__file__), Path(trust_world.__file__), *_policy_sources())
    code = b"".join(path.read_bytes() for path in sources)
    base = image.path / f"server-world-{_key(code)}"
    cache.entry(base, lambda partial: _build_base(image, partial))
    made = base / f"host-{wanted.digest[:16]}"
    cache.entry(made, lambda partial: _build_host(image, base, wanted, partial))
    programs = made / VERITY
    found = [path for path in programs.rglob("*") if path.is_file() and _is_protected(path)]
    names = tuple(sorted(str(path.relative_to(programs)) for path in found))
    return ServerWorld(private=base / "private", host=made / "host", protected=names)


def _is_protected(path: Path) -> bool:
    code = path.suffix == ".so" or path.stat().st_mode & 1 == 1
    return code or "dist-packages" not in path.parts


def _policy_sources() -> list[Path]:
    return sorted((Path(__file__).parents[2] / "policy/rules").glob("*.toml"))


def _key(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _build_base(image: Image, partial: Path) -> None:
    private = partial / "private"
    private.mkdir()
    for party in _PARTIES:
        solo = partial / party
        init = ("keyring", "init", "--solo", "--party", party)
        verity(*init, f"--days={DAYS}", solo)
        for path in (solo / "private").iterdir():
            path.rename(private / path.name)
    compile_ = ("policy", "compile", "--mode=sealed", "--serial=1", f"--root={image.tree}")
    owned = [f"{OS_STREAM}=vendor:os", f"{VERITY}=vendor:os", f"{SITE}=vendor:os"]
    owned += ["tools=user:extension", f"{ETC_STREAM}=user:etc"]
    streams = [f"--stream={one}" for one in owned]
    key = private / "user-policy.pem"
    verity(*compile_, f"--days={DAYS}", *streams, "--key", key, partial / "host.policy")
    listed = f"--policy={partial}/host.policy.json"
    sign_tree(private / "vendor-os.pem", image.tree, OS_STREAM, partial / "os.grants", listed)
    _build_site(private / "vendor-os.pem", listed, partial)


def _build_site(key: Path, listed: str, partial: Path) -> None:
    """The vendor's repository: what serial 2 brings is new, what serial 1 brought is gone."""
    repo = partial / "repo"
    run(["ostree", f"--repo={repo}", "init", "--mode=archive"])
    for serial in (1, 2):
        tree, branch = partial / f"site-{serial}", f"{SITE}/{serial}"
        programs = tree / "usr/bin"
        programs.mkdir(parents=True)
        run([*_CC, f'-DNAME="site {serial}"', "-o", str(programs / "greet"), str(_SPECIMEN)])
        (programs / "greet.sh").write_text(f"#!/bin/sh\necho site {serial} script\n")
        (programs / "greet.sh").chmod(0o755)
        commit = ["ostree", f"--repo={repo}", "commit", f"--branch={branch}", f"--tree=dir={tree}"]
        run([*commit, "--owner-uid=0", "--owner-gid=0"])
        sign = ("commit", "sign", f"--repo={repo}", f"--key={key}", f"--days={DAYS}", listed)
        verity(*sign, f"--stream={SITE}", f"--serial={serial}", branch)
    grants = verity("commit", "show", f"--repo={repo}", "--grants", f"{SITE}/1")
    (partial / "site.grants").write_bytes(grants)


def _build_host(image: Image, base: Path, wanted: wheel.Wheel, partial: Path) -> None:
    host, own = partial / "host", partial / VERITY
    wheel.unpack(wanted, own, debian=image.tree)
    key, listed = base / "private/vendor-os.pem", f"--policy={base}/host.policy.json"
    parts = host / PARTS
    parts.mkdir(parents=True)
    sign_tree(key, own, VERITY, parts / "verity.grants", listed)
    run(["cp", "-a", f"{own}/.", str(host)])
    for name in ("os", "site"):
        shutil.copyfile(base / f"{name}.grants", parts / f"{name}.grants")
    (host / "etc/verity/pins").mkdir(parents=True)
    for end in ("json", "gate"):
        source = base / ("host.policy" if end == "gate" else "host.policy.json")
        shutil.copyfile(source, host / f"etc/verity/policy.{end}")
    for party in _PARTIES:
        run(["mkdir", "-p", str(host / KEYRINGS)])
        run(["cp", "-r", f"{base}/{party}/keyrings/{party}", str(host / KEYRINGS)])
        shutil.copyfile(base / party / f"{party}.pin", host / f"etc/verity/pins/{party}.pin")
    run(["mkdir", "-p", str((host / REPO).parent)])
    run(["cp", "-r", str(base / "repo"), str(host / REPO)])
    verity(*bundle(host, [parts / f"{name}.grants" for name in ("os", "site", "verity")]))


def bundle(root: Path, grants: list[Path]) -> list[str | Path]:
    """The arguments that make the boot bundle of the host at `root`, anew if there is one."""
    made: list[str | Path] = ["lockdown", "bundle", "--replace", f"--root={root}"]
    made += [f"--pin={party}={root}/etc/verity/pins/{party}.pin" for party in _PARTIES]
    made += [f"--keys={root}/{KEYRINGS}/{party}/1.keys" for party in _PARTIES]
    made += [f"--policy={root}/etc/verity/policy.gate", *(f"--grants={path}" for path in grants)]
    return [*made, root / "var/lib/verity/boot.bundle"]
