# SPDX-License-Identifier: Apache-2.0
"""The man page: synopsis, options and help texts from the command line, the rest written here.

`python -m tests.quality.man` writes docs/man/verity.1; test_man.py holds the committed page to it.
"""

import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click

from tests.quality.click_tree import commands
from verity import __version__

PAGE = Path("docs/man/verity.1")
_WIDTH = 96

_HEAD = f"""\
.\\" SPDX-License-Identifier: Apache-2.0
.\\" Made by `python -m tests.quality.man` from the command line: change it there.
.TH VERITY 1 "" "verity {__version__}" "User Commands"
.SH NAME
verity \\- sign, verify and measure the content of Linux hosts
"""

# In these texts: a blank line starts a paragraph, `...` is bold, a line that starts with four
# spaces is an example, `TERM :: text` is a line of a list.
DESCRIPTION = """
`verity` signs the content of an OSTree commit and holds repositories and file trees against what
was signed, with the kernel's fs-verity digest of each file.

A signed commit carries a manifest (a line for each file), a statement that names the manifest and
the commit, and grants (what a kernel gate will be told). They are in the commit's detached
metadata, so that a pull by stock `ostree` brings them along. Which keys count is said by the
caller, with `--key`, or by keyrings and the pins that they are verified from: those of `--keyring`
and `--pin`, else those of the host.

Results go to the standard output, progress and messages to the standard error. `--json` gives
JSON Lines, each an object with `"v": 1` and a `type`. In text, bytes of file names that could
disturb a terminal are written `\\xHH`.

`KEY`, where it signs, is the path of a private key, `file:PATH`, the RFC 7512 URI of a key in a
token (`pkcs11:token=T;object=O?module-path=/M.so&pin-source=file:/PIN`), or a service's URI and its
public key's file (`awskms:ID#FILE.pub`). Passphrases and PINs are asked for on a terminal.

`REV` is a ref, `REMOTE:REF`, the checksum of a commit or its unique start.
"""

EXAMPLES = """
Make a key, sign a commit with it, and verify the commit with the public half:

    verity key generate vendor.pem
    verity commit sign --repo repo --key vendor.pem --stream debian-trixie --serial 1 debian/trixie
    verity commit verify --repo repo --key vendor.pem.pub debian/trixie

Let two people sign it, each with their own key, on their own machine:

    verity sign prepare commit --repo repo --stream os --serial auto --output os.sign debian/trixie
    verity sign add --key ann.pem os.sign
    verity sign add --key bob.pem os.sign
    verity sign attach --key ann.pem.pub --key bob.pem.pub --threshold 2 --repo repo os.sign

Turn on fs-verity for every object, as root and in a repository of the mode bare:

    verity objects enable --repo repo --key vendor.pem.pub debian/trixie

Compare a checked-out tree with what was signed, and look at one file of it:

    verity audit --root tree --repo repo --commit debian/trixie --key vendor.pem.pub
    verity explain --root tree --repo repo --commit debian/trixie --key vendor.pem.pub /usr/bin/sudo

Sign /etc, see what changed in it since, and bring that back:

    verity etc sign --key etc.pem --stream etc-host1 --serial 1
    verity etc diff --key etc.pem.pub --text
    verity etc apply --key etc.pem.pub

Load the gate as root, look at what it would refuse, and seal it until reboot:

    verity lockdown observe
    verity explain --denial last
    verity lockdown seal
"""

EXIT_STATUS = """
0 :: Everything that was required was checked and is good.

1 :: What was looked at says no: a finding, a difference, or a file that is malformed, badly signed
or of the wrong kind. Any finding wins over what could not be checked.

2 :: What was asked for can't be: a wrong argument, or a change that no document may have.

3 :: No finding, but something that was required could not be checked or done: a missing input, a
missing permission, a kernel or file system that can't.

130 :: Interrupted.

A command for several files reports each of them, and then fails if one did.
"""

FILES = """
Rules for /etc are the only configuration; but for the signed /etc, nothing is stored outside of
what the caller names.

FILE, FILE.pub :: Written by `key generate` and `key import`. Neither is overwritten. A private key,
a passphrase or a PIN in a file that its group or others may use is refused.

REPO/objects/??/*.commitmeta :: The detached metadata of a commit, replaced as a whole by
`commit sign` and `sign attach`, under the repository's own lock `REPO/.lock` and by way of a file
in `REPO/tmp`.

REPO/extensions/verity/serials/STREAM.json :: Which serials of a stream were given out, and to what
(docs/formats.md): `--serial auto` takes the next one. Another signer waits for `*.lock` beside it.
Losing it is made good from what is attached to the commits that refs reach.

BUNDLE :: Written by `sign prepare`, which overwrites nothing, and replaced as a whole by `sign add`
if it still is what was read.

/etc/verity/pins/vendor.pin, user.pin :: The root keys that the owner accepted, read by the loader.

/usr/lib/verity/keyrings, /etc/verity/keyrings :: The keyrings that say whose signatures count:
PARTY/N.keyring.json for each version, with what the kernel is told of it in N.keys.

DIR/PARTY/N.keyring.json.part :: A version that waits for `keyring sign`. Versions are written whole
or not at all, and never overwritten.

/var/lib/verity/boot.bundle :: The signed keys, policy and grants that the loader hands to the gate,
and what the host had accepted when it was made.

/var/lib/verity/floors/PARTY.ROLE.STREAM :: The highest statement of a stream that this host has
accepted, as it was signed; written by `commit verify --accept` and `etc status --accept`, old or
new and never between. Read by every verb that verifies what is signed. user.policy is the highest
policy; `lockdown bundle` and `lockdown import` write it.

/etc/ostree/revoked.ed25519, revoked.spki, revoked.*.d :: Keys, also below /usr/share/ostree, that
`commit verify --ostree-key` never takes. One that can't be read is an error.

/etc/verity/policy.d/*.toml, /usr/lib/verity/policy.d/*.toml :: The source of the
policy, and which files of /etc change by themselves; read by `policy` and `etc`. A file with a
later name overrides.

/etc/verity/policy.json, /etc/verity/policy.gate :: The signed policy, and what the gate is told of
it; verified by `policy show` and `policy check`.

/var/lib/verity/etc, /var/lib/verity/store :: What `etc sign` signed, by serial, and the contents;
the journal of an `etc apply`, and the host's own stream.

/etc/.verity-stage-* :: Files that `etc apply` prepares, removed when it ends; in a home, too.

/var/lib/verity/ledger, ledger.head, /run/verity/ledger.head :: Which unlocks there were, and the
digest of the last line; appended to by `unlock`, and by nothing else. The TPM's NV index 0x0180766c
counts it, after `unlock ledger counter`.

/run/motd.d/verity-unlock :: What who logs in reads while something is unlocked.

/sys/fs/bpf/verity/status, denials :: What the gate says about itself, readable by all.

/run/verity-denials/state :: How far `lockdown journal` came; replaced as a whole.
Without it all that the gate still has is written again.

OUT :: Written by `lockdown pin`, `lockdown bundle`, `keyring project` and `policy compile`, and as
a new directory by `extension sign` and `lockdown exception sign`: whole or not at all, by way of
`.OUT.*.tmp` beside it. Only `lockdown bundle --replace` overwrites.

DIR/.verity-* :: A temporary file of `doctor --try` `DIR`.

`enable` and `objects enable` change no contents; the file system stores the Merkle tree with the
file. `manifest make --output` writes the file that it names, and overwrites none.
"""

ENVIRONMENT = """
No variable changes what is checked, which keys count or what is good.

_VERITY_COMPLETE :: Used by shells for completion, as the click library describes it.

PYKCS11LIB, and what a KMS wants :: Read by the libraries of securesystemslib's signers, for a KEY
of such a scheme. No passphrase and no PIN is ever read from the environment by `verity`.

GNUPGHOME :: Read by `gpg` for `commit sign --gpg-sign`, unless `--gpg-homedir` is given; not for
`commit verify --gpg-keyring`.
"""

NOTES = """
Without a gate, signatures and fs-verity tell and nothing refuses; `lockdown status` says what the
state of this host is worth. `lockdown import`, `observe` and `seal` decide nothing: they ask the
gate. fs-verity keeps the contents of a file as they are, but not its mode, owner or extended
attributes, nor which file is at a path. The gate takes no revocations yet. OSTree's own signatures
are for stock `ostree` and never count here.

`commit show` and `manifest make`, `convert`, `show`, `verify` and `diff` check no signature.
"""

SEE_ALSO = """
`fsverity`(1), `ostree`(1), `composefs-dump`(5)

docs/formats.md, docs/architecture.md and docs/threat-model.md in the source of verity
"""


def page() -> str:
    """The whole page."""
    verbs = {n: c for n, c in commands().items() if not isinstance(c, click.Group)}
    parts = [_HEAD, ".SH SYNOPSIS", ".nf"]
    parts += [synopsis(name, command) for name, command in verbs.items()]
    parts += [".fi", ".SH DESCRIPTION", *text(DESCRIPTION)]
    top = commands()["verity"]
    parts += [".SH OPTIONS", *options(top)]
    parts += [".SH COMMANDS"]
    for name, command in verbs.items():
        parts += section(name, command)
    for title, written in (
        ("EXAMPLES", EXAMPLES),
        ("EXIT STATUS", EXIT_STATUS),
        ("FILES", FILES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("NOTES", NOTES),
        ("SEE ALSO", SEE_ALSO),
    ):
        parts += [f".SH {title}", *text(written)]
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def section(name: str, command: click.Command) -> Iterator[str]:
    """One verb: its usage, help, options and example."""
    assert command.help and command.epilog
    yield f'.SS "{escape(name)}"'
    yield synopsis(name, command)
    yield ".PP"
    yield from text(inspect.cleandoc(command.help))
    yield from options(command)
    yield ".PP"
    yield "Example:"
    yield from example(" ".join(command.epilog.split()).removeprefix("Example: "))


def synopsis(name: str, command: click.Command) -> str:
    """The line of a verb: required options by name, the others as OPTIONS."""
    context = click.Context(command)
    words = [f"\\fB{escape(name)}\\fR"]
    optional = False
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            if parameter.required:
                words.append(names(parameter, context))
            optional |= not parameter.required
    if optional:
        words.append("[\\fIOPTION\\fR...]")
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            words.append(f"\\fI{escape(parameter.make_metavar(context))}\\fR")
    return " ".join(words)


def options(command: click.Command) -> Iterator[str]:
    """A paragraph for each option; --help is said once, for the program."""
    context = click.Context(command, **command.context_settings)
    program = isinstance(command, click.Group)
    for parameter in command.get_params(context) if program else command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help
            yield ".TP"
            yield names(parameter, context)
            yield from filled(" ".join([full_stop(parameter.help), *notes(parameter)]))


def names(option: click.Option, context: click.Context) -> str:
    """`-h`, `--help`, or `--repo REPO`."""
    spelled = ", ".join(f"\\fB{escape(name)}\\fR" for name in option.opts)
    if option.is_flag:
        return spelled
    is_number = isinstance(option.type, click.IntRange) and option.metavar is None
    return f"{spelled} \\fI{'N' if is_number else escape(option.make_metavar(context))}\\fR"


def notes(option: click.Option) -> Iterator[str]:
    """What click's own help puts into brackets."""
    if isinstance(option.type, click.IntRange):
        least, most = option.type.min, option.type.max
        yield f"{least} to {most}." if most is not None else f"At least {least}."
    if option.show_default and option.default is not None:
        yield f"Default: {option.default}."
    if option.required:
        yield "Required."
    if option.multiple:
        yield "May be repeated."


def full_stop(sentence: str) -> str:
    """The sentence with an end."""
    return sentence if sentence.endswith((".", "]")) else f"{sentence}."


def text(written: str) -> Iterator[str]:
    """Paragraphs, lists and examples in roff."""
    paragraphs = re.split(r"\n\s*\n", written.strip("\n"))
    for number, paragraph in enumerate(paragraphs):
        term, is_list, rest = paragraph.partition(" :: ")
        if paragraph.startswith("    "):
            yield from example(textwrap.dedent(paragraph))
        elif is_list:
            yield ".TP"
            yield f"\\fB{escape(term)}\\fR"
            yield from filled(rest)
        else:
            if number:
                yield ".PP"
            yield from filled(paragraph)


def filled(paragraph: str) -> Iterator[str]:
    """A paragraph as lines that are no control lines."""
    # Every second part stood between backquotes.
    parts = [escape(part) for part in " ".join(paragraph.split()).split("`")]
    parts[1::2] = [f"\\fB{part}\\fR" for part in parts[1::2]]
    for line in textwrap.wrap(
        "".join(parts), _WIDTH, break_long_words=False, break_on_hyphens=False
    ):
        yield f"\\&{line}" if line.startswith((".", "'")) else line


def example(lines: str) -> Iterator[str]:
    """Lines as they are typed."""
    yield from (".PP", ".RS 4", ".nf")
    yield from (escape(line) for line in lines.splitlines())
    yield from (".fi", ".RE")


def escape(plain: str) -> str:
    """Plain text with what roff would take for its own."""
    for char, written in (
        ("\\", "\\e"),
        ("-", "\\-"),
        ("'", "\\(aq"),
        ("^", "\\(ha"),
        ("~", "\\(ti"),
    ):
        plain = plain.replace(char, written)
    return f"\\&{plain}" if plain.startswith(".") else plain


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
