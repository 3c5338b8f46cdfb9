# SPDX-License-Identifier: Apache-2.0
"""The ``verity`` command: a table of verbs, loaded when called for, and the exit statuses.

Exit status: 0 everything required was checked and is good; 1 a finding, or a document that is
malformed or badly signed; 2 bad arguments; 3 no finding, but something required could not be
checked; 130 interrupted. This is the only place that maps errors to them and the only one that
exits.
"""

import importlib
import sys

import click

from verity import __version__
from verity.cli import output
from verity.values.errors import VerityError

# verb: (module in verity.cli that has a command of this name, one line for the list of verbs)
VERBS = {
    "audit": ("audit", "Compare a tree with the signed commit, file by file."),
    "commit": ("commit", "Sign, verify and show OSTree commits."),
    "digest": ("files", "Compute the fs-verity digest of files."),
    "doctor": ("doctor", "Say what this host can do."),
    "enable": ("files", "Turn on fs-verity for files."),
    "explain": ("explain", "Show the chain for one file, link by link."),
    "key": ("key", "Generate and show keys."),
    "manifest": ("manifest", "Make, show and compare manifests."),
    "measure": ("files", "Ask the kernel for the fs-verity digest of files."),
    "objects": ("objects", "fs-verity on the objects of a signed commit."),
}


class LazyGroup(click.Group):
    """A group that imports a verb only when it is called: start-up time is a feature."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, sorted."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"verity.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs from the table, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, line) in sorted(VERBS.items())])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog="Exit status: 0 checked and good, 1 a finding, 2 bad arguments, 3 could not be checked.",
)
@click.version_option(__version__, prog_name="verity")
def verity() -> None:
    """Signed content for Linux hosts: from a key to a decision in the kernel.

    Example: verity commit verify --repo /ostree/repo --key vendor.pub debian/trixie
    """


def main() -> None:
    """Run the command line and exit with the documented status."""
    try:
        status = verity.main(standalone_mode=False, prog_name="verity")
        sys.stdout.flush()
    except click.exceptions.Abort:
        output.message("interrupted")
        sys.exit(130)
    except click.ClickException as error:
        error.show(file=sys.stderr)
        sys.exit(2)
    except VerityError as error:
        if "--json" in sys.argv[1:]:  # the verb's own context is gone by now
            output.error_record(error)
        output.error(error)
        sys.exit(error.exit_status)
    except BrokenPipeError:
        # The reader of our output is gone: nothing more can be reported to it.
        sys.stderr.close()
        sys.exit(3)
    sys.exit(status if isinstance(status, int) else 0)
