# SPDX-License-Identifier: Apache-2.0
"""policy check: each finding, and hosts without any."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.policy_host import (
    DROP_IN,
    KEY,
    SEALED,
    STREAM,
    Host,
    clean,
    make_policy_host,
)
from tests.cli.program import copy, verity


@pytest.fixture(scope="module")
def bare_host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_policy_host(tmp_path_factory.mktemp("policies"))


@pytest.fixture
def host(bare_host: Path, tmp_path: Path) -> Host:
    return Host(copy(bare_host, tmp_path / "w"))


def test_nothing_to_find(host: Host) -> None:
    done = host.run("check")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("nothing to find in the drop-ins (")
    host.install("--mode", "sealed")
    assert host.run("check", *KEY).status == 0


def test_nothing_to_find_with_the_defaults_on_this_very_debian() -> None:
    """Every path of /etc, and every script that a real system has."""
    for profile in ("standard", "strict"):
        done = verity("policy", "check", "--profile", profile, "--json", cwd=Path("/"))
        assert done.of_type("finding") == []
        (summary,) = done.of_type("summary")
        assert summary["counts"]["scripts"] > 50


def script(host: Host, first_line: str) -> None:
    host.write("usr/bin/perl5.40", "ELF")
    (host.root / "usr/bin/perl").symlink_to("perl5.40")
    host.write("usr/bin/tool", first_line + "\n")
    (host.root / "usr/bin/tool").chmod(0o755)


MUTABLE = '[[guarded]]\nclass = "mutable"\npaths = ["{}"]\nreason = "r"\n'


def mutable_before_signed(host: Host) -> None:
    """The classes of /etc exempt a file, and a later drop-in guards it for the gate alone."""
    host.own(STREAM + MUTABLE.format("/etc/app").replace("guarded", "etc"), beside="etc/app/state")
    host.own(MUTABLE.format("/etc/app/state").replace("mutable", "signed"), "60-later.toml")


FOUND: dict[str, tuple[Callable[[Host], object], str, str]] = {
    "a line anew": (
        lambda host: host.own(STREAM + SEALED + SEALED.replace("sealed", "trial")),
        "unreachable",
        f"{DROP_IN} [[mode]] 1: {DROP_IN} [[mode]] 2 says the same thing anew",
    ),
    "a line covered": (
        lambda host: host.own(
            STREAM + MUTABLE.format("/srv/a") + MUTABLE.format("/srv/*"), beside="srv/a"
        ),
        "unreachable",
        "/srv/a is covered by /srv/*",
    ),
    "a path that isn't there": (
        lambda host: host.own(STREAM + MUTABLE.format("/srv/none")),
        "missing",
        "nothing has the name /srv/none",
    ),
    "a pattern that is nothing": (
        lambda host: host.own(STREAM + MUTABLE.format("/srv/n*")),
        "missing",
        "nothing has the name /srv/n*",
    ),
    "a pattern that the gate has not": (
        lambda host: host.own(
            STREAM + MUTABLE.format("/etc/app/*/x").replace("guarded", "etc"), beside="etc/app/a/x"
        ),
        "not-for-the-gate",
        "the gate has no patterns such as /etc/app/*/x",
    ),
    "an interpreter that nothing needs": (
        lambda host: script(host, "#!/bin/sh"),
        "interpreter-without-need",
        "/usr/bin/perl* is there, and no script's #! names it",
    ),
    "a mutable file that the policy guards as signed": (
        mutable_before_signed,
        "guarded-not-signed",
        "/etc/verity/policy.d/60-later.toml [[guarded]] 1: /etc/app/state: the policy has the class"
        " signed, `etc sign` has"
        " mutable (",
    ),
    "a signed file that the policy lets change": (
        lambda host: host.own(STREAM + MUTABLE.format("/etc/app/*"), beside="etc/app/a"),
        "signed-not-guarded",
        "/etc/app/a: the policy has the class mutable, `etc sign` has signed (built in), so the",
    ),
    "a drop-in replaced": (
        lambda host: host.own(STREAM, beside="usr/lib/verity/policy.d/50-own.toml"),
        "shadowed",
        "/usr/lib/verity/policy.d/50-own.toml is replaced as a whole by /etc/verity",
    ),
    "a drop-in masked": (
        lambda host: (host.root / "etc/verity/policy.d/30-interpreters.toml").symlink_to(
            "/dev/null"
        ),
        "masked",
        "built-in/30-interpreters.toml is masked by /etc/verity",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_findings(host: Host, name: str) -> None:
    spoil, check, text = FOUND[name]
    spoil(host)
    done = host.run("check")
    assert done.status == 1
    (finding,) = [line for line in done.out.splitlines() if line.startswith("FINDING")]
    assert finding.startswith(f"FINDING  {check}  ")
    assert text in finding


@pytest.mark.parametrize(
    "line",
    [
        "#!/usr/bin/perl",
        "#! /bin/perl -w",
        "#!/usr/bin/env perl",
        "#!/usr/bin/env -S LANG=C perl -w",
        "#!/usr/bin/perl5.40",
    ],
)
def test_an_interpreter_that_is_needed(host: Host, line: str) -> None:
    (host.root / "bin").symlink_to("/usr/bin")
    script(host, line)
    assert host.run("check").status == 0


def test_what_the_owner_signed_is_meant(host: Host) -> None:
    (host.root / "etc/verity/policy.d/30-interpreters.toml").symlink_to("/dev/null")
    host.install("--mode", "sealed")
    done = host.run("check", *KEY)
    assert done.status == 0
    assert "is masked by" in done.err
    assert "as the signed policy has it" in done.err


def test_an_expired_policy_is_a_finding_and_still_counts(host: Host) -> None:
    times = ("--issued", "2020-01-01T00:00:00Z", "--expires", "2021-01-01T00:00:00Z")
    host.install(*times)
    done = host.run("check", *KEY)
    assert done.status == 1
    assert "FINDING  expired" in done.out
    shown = host.run("show", *KEY)
    assert (shown.status, "has expired; it still counts here" in shown.err) == (0, True)


def test_a_host_s_keyring_says_whose_signature_counts(host: Host) -> None:
    """As on a host: pin and keyring, no key named; the role extension doesn't sign policies."""
    roles = (
        *("--role", "root=root.pem.pub", "--role", "policy=policy.pem.pub"),
        *("--role", "extension=stranger.pem.pub", "--stream", "extension=*"),
    )
    assert verity("key", "generate", "root.pem", cwd=host.path).status == 0
    init = ("keyring", "init", "--party", "user", *roles, "--key", "root.pem", "keyrings")
    assert verity(*init, cwd=host.path).status == 0
    pin = ("lockdown", "pin", "--party", "user", "--root", "root.pem.pub", "user.pin")
    assert verity(*pin, cwd=host.path).status == 0
    keyring = ("--keyring", "keyrings", "--pin", "user=user.pin")
    host.install()
    done = host.run("show", *keyring, "--json")
    assert (done.status, done.of_type("signed")[0]["serial"]) == (0, 7)
    assert host.compile("other", key="stranger.pem").status == 0
    (host.path / "other.json").replace(host.root / "etc/verity/policy.json")
    done = host.run("show", *keyring)
    clean(done, ("policy: signed by 0 of the trusted owners",))
    assert done.status == 1


def test_what_can_not_be_read_is_said(host: Host) -> None:
    (host.root / "usr/bin").mkdir(parents=True)
    (host.root / "usr/bin/tool").write_text("#!/bin/sh\n")
    (host.root / "usr/bin/tool").chmod(0o111)
    (host.root / "opt/shut").mkdir(parents=True)
    (host.root / "opt/shut").chmod(0)
    done = verity("policy", "check", "--root", "root", "--json", cwd=host.path, lesser=True)
    assert done.status == 3
    assert [gap["object"] for gap in done.of_type("not-evaluated")] == [
        "/usr/bin/tool",
        "/opt/shut",
    ]


def test_a_policy_that_can_not_be_verified_leaves_a_gap(host: Host) -> None:
    host.install()
    done = host.run("check")
    assert done.status == 3
    assert "NOT EVALUATED  signed-policy" in done.out


def ostree_deployment(host: Host) -> None:
    """What an OSTree deployment of a CoreOS-like system looks like, with its links."""
    for link, target in (
        *(("home", "var/home"), ("root", "var/roothome"), ("opt", "var/opt"), ("srv", "var/srv")),
        *(("usr/local", "../var/usrlocal"), ("bin", "usr/bin"), ("lib", "usr/lib")),
        *(("ostree", "sysroot/ostree"), ("tmp", "sysroot/tmp")),
    ):
        place = host.root / link
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)
    for name in (
        *("usr/etc/passwd", "usr/etc/shadow", "usr/etc/ssh/sshd_config", "usr/etc/machine-id"),
        *("usr/lib/ostree-boot/vmlinuz-1", "usr/lib/ostree-boot/initramfs-1", "usr/lib/passwd"),
        *("usr/lib/systemd/system/a.service", "usr/lib/tmpfiles.d/a.conf", "usr/bin/bash"),
    ):
        host.write(name, "x")


@pytest.mark.parametrize("profile", ["standard", "strict"])
@pytest.mark.parametrize("deployed", [False, True], ids=["as built", "with its /etc and /var"])
def test_nothing_to_find_with_the_defaults_on_a_coreos_like_tree(
    host: Host, profile: str, deployed: bool
) -> None:
    shutil.rmtree(host.root / "etc")
    ostree_deployment(host)
    if deployed:
        shutil.copytree(host.root / "usr/etc", host.root / "etc")
        for name in ("home/core", "roothome/.ssh", "opt", "srv", "usrlocal/lib/systemd"):
            (host.root / "var" / name).mkdir(parents=True)
    done = host.run("check", "--profile", profile)
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize("path", ["/opt", "/opt/agent", "/opt/agent/etc", "/opt/agent/conf*"])
def test_a_path_behind_a_link_is_another_one_to_the_gate(host: Host, path: str) -> None:
    """Guarded by the link's name alone, nothing would be asked there."""
    ostree_deployment(host)
    host.write("var/opt/agent/etc/conf", "x")
    host.write("var/opt/agent/conf.d", "x")
    line = MUTABLE.format(path).replace("mutable", "signed")
    host.own(STREAM + line)
    done = host.run("check")
    assert done.status == 1
    (finding,) = [one for one in done.out.splitlines() if one.startswith("FINDING")]
    assert finding.startswith("FINDING  behind-a-link  ")
    assert f"{path} is /var{path} here, by a link" in finding
    host.own(STREAM + line + MUTABLE.format(f"/var{path}").replace("mutable", "signed"))
    assert host.run("check").status == 0


def long_links(host: Host, folder: str, number: int) -> None:
    for one in range(number):
        path = host.root / folder / f"link-{one}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to("/" + "x" * 55)
        (path.parent / f"short-{one}").symlink_to("x" * 55)


def test_paths_that_no_grant_has_room_for(host: Host) -> None:
    """Told with the line that exempts them; with that line there is nothing to tell."""
    long_links(host, "etc/few", 2)
    long_links(host, "etc/many", 5)
    long_links(host, "etc/fonts/conf.d", 3)  # exempt by the defaults
    done = host.run("check")
    assert done.status == 0
    notes = [line for line in done.err.splitlines() if "can't be granted" in line]
    few, many = notes
    assert few.startswith("verity: note: /etc/few/link-0 and 1 paths beside it can't be granted")
    assert '[[etc]] class = "mutable", paths = ["/etc/few/link-0", "/etc/few/link-1"]' in few
    assert many.startswith("verity: note: /etc/many/link-0 and 4 paths beside it can't be granted")
    assert 'says [[etc]] class = "mutable", paths = ["/etc/many"]' in many
    paths = '"/etc/few/link-0", "/etc/few/link-1", "/etc/many"'
    host.own(f'[[etc]]\nclass = "mutable"\npaths = [{paths}]\nreason = "r"\n{STREAM}')
    done = host.run("check")
    assert (done.status, done.err) == (0, "")
