# SPDX-License-Identifier: Apache-2.0
"""Lines that name programs: their odd forms, and that nothing in them raises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verity.formats import trigger_lines as lines
from verity.formats.unit_exec import split

FRAGMENTS = st.sampled_from(
    (
        *b"@include @reboot [ ] RUN {program} += DPkg::Post-Invoke { } ; : /bin/x % =".split(),
        *b"postrotate endscript include # // /* */ -auth substack \xff \0".split(),
        *(b"* * * * *", b" ", b"\t", b"\n", b"\\", b'"'),
    )
)
TEXT = st.lists(st.one_of(FRAGMENTS, st.binary(max_size=3)), max_size=40).map(b"".join)


@given(TEXT)
def test_nothing_raises(text: bytes) -> None:
    lines.assignment(text)
    lines.cron_job(text, with_user=True)
    lines.cron_job(text, with_user=False)
    lines.pam_line(text)
    list(lines.udev_keys(text))
    lines.binfmt_interpreter(text)
    list(lines.apt_commands(text))
    list(lines.logrotate_lines(text))
    lines.polkit_programs(text)
    lines.nss_services(text)
    lines.modules_dep(text)


@pytest.mark.parametrize(
    ("line", "job"),
    [
        (b"1 2 3 4 5 root  a b", (b"root", b"a b")),
        (b"@daily\troot\ta % input", (b"root", b"a ")),
        (rb"1 2 3 4 5 root date \%s", (b"root", b"date %s")),
        (b"1 2 3 4 5 root", None),
        (b"", None),
    ],
)
def test_cron(line: bytes, job: tuple[bytes, bytes] | None) -> None:
    assert lines.cron_job(line, with_user=True) == job


@pytest.mark.parametrize(
    ("line", "due"),
    [
        (b"@include common-auth", lines.PamLine(included=b"common-auth")),
        (b"auth substack x", lines.PamLine(included=b"x")),
        (
            b"-auth [default=die success=1] m.so a b",
            lines.PamLine(module=b"m.so", arguments=(b"a", b"b"), optional=True),
        ),
        (b"auth required", None),
    ],
)
def test_pam(line: bytes, due: lines.PamLine | None) -> None:
    assert lines.pam_line(line) == due


@pytest.mark.parametrize(
    ("line", "commands"),
    [
        (rb'RUN+="a \"b\""', [b'a "b"']),
        (b'RUN{program}:="a", PROGRAM!="b", PROGRAM=="c"', [b"a", b"c"]),
        (b'IMPORT{builtin}="a", IMPORT{file}="b", IMPORT{program}=="c"', [b"c"]),
        (b'RUN="", RUN+=e"a"', [b"a"]),
        (b'NAME="RUN"', []),
        (b'ENV{REMOVE_CMD}="a", ENV{X}="b", RUN+="$env{REMOVE_CMD}"', [b"a"]),
    ],
)
def test_udev(line: bytes, commands: list[bytes]) -> None:
    assert [one.command for one in lines.udev_keys(line)] == commands


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (b'DPkg::Pre-Invoke {"a";"b"};', [b"a", b"b"]),
        (b'DPkg::Pre-Install-Pkgs:: "a"; X::Y "b";', [b"a"]),
        (b'DPkg::Post-Invoke { "a', [b"a"]),  # apt refuses it
        (b'/* DPkg::Post-Invoke:: "a"; */ APT::Update::Post-Invoke-Success { "b"; };', [b"b"]),
        (b'AptCli::Hooks::Upgrade { "a --x"; };', [b"a --x"]),
    ],
)
def test_apt(text: bytes, commands: list[bytes]) -> None:
    assert list(lines.apt_commands(text)) == commands


def test_binfmt_with_another_separator() -> None:
    assert lines.binfmt_interpreter(b",a,E,,x,,/usr/bin/x,PF") == b"/usr/bin/x"


def test_keys() -> None:
    line = rb'no-pty,command="/a \"b\"",x="command=y" ssh-ed25519 AAAA command="/c"'
    assert lines.key_commands(line) == [b'/a "b"']


# Each would take minutes if what is looked for were looked for again from each place.
@pytest.mark.parametrize(
    "part",
    [
        *(
            rb"\"",
            b"RUN{",
            b"/*",
            b"Invoke ",
            b"[",
            b'command="',
            b",command=",
            b"<annotate  ",
            b" ",
        ),
        *(b"DPkg::Post-Invoke {", b'RUN="', b"a ", b"a'", b"{"),
    ],
)
def test_a_file_that_is_made_to_take_for_ever(part: bytes) -> None:
    text = b':"' + part * (300_000 // len(part))
    test_nothing_raises.hypothesis.inner_test(text)  # type: ignore[attr-defined]
    split(text)
