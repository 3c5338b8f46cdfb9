# SPDX-License-Identifier: Apache-2.0
"""The classes of /etc: which rule counts for a path, and what no drop-in may say."""

from pathlib import Path

import pytest

from verity.formats.etc_rules import MAX_SIZE, DropIn, FileClass, Rules
from verity.values.errors import ContentError

DEFAULTS = Path("policy/rules/10-etc.toml")


def drop_in(text: str | bytes, name: str = "50.toml") -> DropIn:
    data = text if isinstance(text, bytes) else text.encode()
    return DropIn(name=name, origin=f"policy.d/{name}", data=data)


def rule(paths: str, file_class: str = "mutable", more: str = "") -> str:
    return f'[[etc]]\nclass = "{file_class}"\npaths = [{paths}]\nreason = "r"\n{more}\n'


def defaults() -> Rules:
    return Rules([drop_in(DEFAULTS.read_bytes(), DEFAULTS.name)])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/shadow", "mutable"),
        ("/etc/shadow-", "mutable"),
        ("/etc/shadow.lock", "ignored"),
        ("/etc/shadow.bak", "signed"),
        ("/etc/passwd", "mutable"),
        ("/etc/.pwd.lock", "ignored"),
        ("/etc/resolv.conf", "produced"),
        ("/etc/machine-id", "produced"),
        ("/etc/ld.so.cache", "produced"),
        ("/etc/ld.so.conf", "signed"),
        ("/etc/ld.so.preload", "signed"),
        ("/etc/mtab", "produced"),
        ("/etc/adjtime", "mutable"),
        ("/etc/ssh/ssh_host_ed25519_key", "signed"),
        ("/etc/sudoers.d/x", "signed"),
        ("/etc/app/shadow", "signed"),
        ("/etc/ssl/certs/Some_Authority.pem", "signed"),
        ("/etc/fonts/conf.d/10-x.conf", "mutable"),
        ("/etc/fonts/fonts.conf", "signed"),
        ("/etc/alternatives/editor", "signed"),
        ("/root/.bashrc", "signed"),
        ("/root/.bash_history", "ignored"),
        ("/home/u/.cache/deep/er", "ignored"),
        ("/home/u/.config/.cache", "signed"),
    ],
)
def test_the_defaults(path: str, expected: str) -> None:
    found = defaults().of(path.encode())
    assert found.file_class is FileClass(expected)
    assert found.reason


WRITTEN_AS = {
    "shadow": ("shadow+", "nshadow", "shadow.edit", ".#shadow0123"),
    "gshadow": ("gshadow+", "gshadow.edit"),
    "passwd": ("passwd+", "npasswd", "passwd.edit", ".#passwd0123"),
    "group": ("group+", "group.edit"),
    "subuid": ("subuid+",),
    "subgid": ("subgid+",),
    "ld.so.cache": ("ld.so.cache~",),
    "hostname": (".#hostname0123",),
}
"""Under what names Debian's programs write a file before they rename it."""


@pytest.mark.parametrize("name", WRITTEN_AS)
def test_what_is_renamed_into_place_was_nowhere_signed(name: str) -> None:
    """Else the gate would let nobody read it (ADR 32)."""
    for before in (*WRITTEN_AS[name], name):
        assert defaults().of(f"/etc/{before}".encode()).file_class is not FileClass.SIGNED


def test_what_is_never_shown_by_default() -> None:
    for path in (
        b"/etc/shadow-",
        b"/etc/nshadow",
        b"/etc/gshadow",
        b"/etc/gshadow+",
        b"/etc/ssh/ssh_host_rsa_key",
        b"/etc/ssl/private/x",
    ):
        assert defaults().of(path).secret
    assert not defaults().of(b"/etc/ssh/ssh_host_rsa_key.pub").secret


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/etc/a", b"/etc/a", True),
        ("/etc/a", b"/etc/a/b/c", True),
        ("/etc/a", b"/etc/ab", False),
        ("/etc/a*", b"/etc/ab", True),
        ("/etc/*.lock", b"/etc/x/y.lock", False),
        ("/etc/*/y", b"/etc/x/y", True),
        ("/etc/a?", b"/etc/ab", True),
        ("/etc/a?", b"/etc/a", False),
        ("/etc/a.b", b"/etc/aXb", False),
        ("/etc/[ab]", b"/etc/a", False),
        ("/etc/a*", b"/etc/a\n\xff", True),
        ("/etc/é", "/etc/é".encode(), True),
    ],
)
def test_patterns(pattern: str, path: bytes, matches: bool) -> None:
    found = Rules([drop_in(rule(f'"{pattern}"'))]).of(path)
    assert (found.file_class is FileClass.MUTABLE) == matches


def test_the_last_rule_counts_and_names_its_origin() -> None:
    late = drop_in(rule('"/etc/a"', "ignored"), "60.toml")
    early = drop_in(rule('"/etc/a"') + rule('"/etc/a/b"', "produced"), "50.toml")
    rules = Rules([late, early])
    assert (rules.of(b"/etc/a/b").file_class, rules.of(b"/etc/a/b").origin) == (
        FileClass.IGNORED,
        "policy.d/60.toml",
    )
    assert Rules([early]).of(b"/etc/a/b").file_class is FileClass.PRODUCED


@pytest.mark.parametrize("path", [b"/etc/verity", b"/etc/verity/policy.d/x.toml"])
def test_the_trust_files_are_always_signed(path: bytes) -> None:
    rules = Rules([drop_in(rule('"/etc/ver*"', "ignored"))])
    assert rules.of(b"/etc/version").file_class is FileClass.IGNORED
    assert rules.of(path).file_class is FileClass.SIGNED


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "not TOML": ("[[etc]", "not TOML"),
    "not UTF-8": (b"x = '\xff'", "not UTF-8 at byte 5"),
    "too large": (b"#" * (MAX_SIZE + 1), "262145 bytes, at most 262144"),
    "deep": ("x = " + "[" * 100_000, "not TOML"),
    "unknown table": ("[other]\n", "unknown key 'other'"),
    "etc no array": ("[etc]\n", "etc must be an array of tables"),
    "unknown key": (rule('"/etc/a"', more="why = 1"), "rule 1: unknown key 'why'"),
    "unknown class": (rule('"/etc/a"', "free"), "class is 'free', expected one of signed"),
    "no class": ('[[etc]]\npaths = ["/etc/a"]\nreason = "r"\n', "class is None"),
    "no reason": ('[[etc]]\nclass = "mutable"\npaths = ["/etc/a"]\n', "it needs a reason"),
    "blank reason": (rule('"/etc/a"').replace('"r"', '" "'), "it needs a reason"),
    "no paths": (rule(""), "paths must be a list with at least one path"),
    "path no text": (rule("7"), "the path 7 is no text"),
    "relative": (rule('"etc/a"'), "is no absolute path"),
    "dots": (rule('"/etc/../root/.x"'), "is no absolute path"),
    "slash at the end": (rule('"/etc/a/"'), "is no absolute path"),
    "NUL": (rule('"/etc/a\\u0000"'), "is no absolute path"),
    "all of it": (rule('"/etc"'), "is no absolute path below"),
    "all in it": (rule('"/etc/*"'), "would be everything"),
    "all, spelled otherwise": (rule('"/etc/?*/*"'), "would be everything"),
    "trust files": (rule('"/etc/verity/pins"'), "is always signed"),
    "bad mode": (rule('"/etc/a"', more='mode = "644"'), "expected four octal digits"),
    "mode no text": (rule('"/etc/a"', more="mode = 0o644"), "expected four octal digits"),
    "idle mode": (
        rule('"/etc/a"', "ignored", 'mode = "0644"'),
        "says nothing for the class ignored",
    ),
    "secret no boolean": (rule('"/etc/a"', more='secret = "yes"'), "expected true or false"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    text, words = REFUSED[name]
    with pytest.raises(ContentError, match=r"policy\.d/50\.toml") as caught:
        Rules([drop_in(text)])
    assert caught.value.code == "bad-policy"
    assert words in caught.value.message
