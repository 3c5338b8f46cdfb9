# SPDX-License-Identifier: Apache-2.0
"""The ``verity`` command: a table of verbs, loaded when called for, and the exit statuses.

Exit status: 0 everything required was checked and is good; 1 what was looked at says no: a finding,
or a file that is malformed, badly signed or of the wrong kind; 2 what was asked for can't be; 3 no
finding, but something required could not be checked or done; 130 interrupted. This is the only
place that maps errors to them and the only one that exits.
"""

import errno
import gc
import os
import sys

import click

from verity import __version__
from verity.cli import output
from verity.cli.lazy import LazyGroup
from verity.values.errors import VerityError

# verb: (module in verity.cli that has a command of this name, the beginning of its help)
VERBS = {
    "acknowledge": (
        "acknowledge",
        "Take what programs wrote as it is, for audits to compare.",
    ),
    "audit": ("audit", "Say whether a host is as signed."),
    "commit": ("commit", "Sign, verify and show OSTree commits."),
    "digest": ("digest", "Compute the fs-verity digest of files."),
    "doctor": ("doctor", "Say what this host can do."),
    "enable": ("enable", "Turn on fs-verity for files."),
    "etc": ("etc", "Sign /etc, see what changed in it, and bring it back."),
    "explain": ("explain", "Show the chain for one file, link by link, or a denial."),
    "extension": ("extension", "Sign code that the owner of a host adds."),
    "key": ("key", "Generate, show and import keys."),
    "keyring": ("keyring", "Say which keys may sign what."),
    "lockdown": ("lockdown", "Load, seal and feed the gate in the kernel, and see what it does."),
    "manifest": ("manifest", "Make, show and compare manifests."),
    "measure": ("files", "Ask the kernel for the fs-verity digest of files."),
    "objects": ("objects", "fs-verity on the objects of a signed commit."),
    "repair": ("repair", "Restore what differs from the signed commit."),
    "sign": ("sign", "Collect the signatures of several people in a bundle."),
    "policy": ("policy", "Say what the gate enforces, and whose grants it takes."),
    "unlock": ("unlock", "Open a sealed host, for one thing and a time."),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="Exit status: 0 checked and good; 1 what was looked at says no; 2 what was asked for"
    " can't be; 3 something is missing or can't be checked or done here.",
)
@click.version_option(__version__, prog_name="verity")
def verity() -> None:
    """Signed content for Linux hosts: from a key to the kernel's digest of every file.

    Example: verity commit verify --repo /ostree/repo --key vendor.pub debian/trixie
    """


def main() -> None:
    """Run the command line and exit with the documented status."""
    if "_VERITY_COMPLETE" in os.environ:  # a shell asks for completions
        verity.main(prog_name="verity")
    # Measured: with garbage collection the verbs over a whole tree take more than a tenth longer.
    # Why is our guess: they make some 100,000 values that live until they end, and these are looked
    # through again and again.
    gc.disable()
    try:
        status = _run(sys.argv[1:])
        sys.stdout.flush()
    except OSError as error:
        # Nobody reads any more, or the disk is full: what was checked didn't get out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        why = os.strerror(error.errno or 0)
        if error.filename is not None:  # of the output there is none: nobody has translated this
            output.message(f"error: {output.shown(os.fsencode(error.filename))}: {why.lower()}")
        elif error.errno != errno.EPIPE:
            output.message(f"error: the output can't be written: {why}")
        status = 3
    except KeyboardInterrupt:
        output.message("interrupted")
        sys.stderr.flush()
        os._exit(130)  # and not wait for threads that hash a large file
    sys.exit(status)


def _run(arguments: list[str]) -> int:
    """The exit status of one command line. click's own ``main`` would turn EPIPE into a 1."""
    try:
        with verity.make_context("verity", list(arguments)) as context:
            status = verity.invoke(context)
        return status if isinstance(status, int) else 0
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "verity"
        output.message(f"error: {output.one_line(error.format_message())}")
        click.echo(f"  hint: `{where} --help` shows how it is used", err=True)
    except click.ClickException as error:
        output.message(f"error: {output.one_line(error.format_message())}")
    except click.exceptions.Abort as error:
        raise KeyboardInterrupt from error
    except VerityError as error:
        if "--json" in arguments:  # the verb's own context is gone by now
            output.error_record(error)
        output.error(error)
        return error.exit_status
    return 2
