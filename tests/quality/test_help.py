# SPDX-License-Identifier: Apache-2.0
"""The help texts: each command has an example, and every example is one that would run."""

import re

import click
import pytest

from tests.quality.click_tree import commands, parse

COMMANDS = commands()
VERBS = {name: one for name, one in COMMANDS.items() if not isinstance(one, click.Group)}


def example(command: click.Command) -> str:
    found = re.search(r"Example: (verity .*)", " ".join((command.epilog or "").split()))
    return found[1] if found else ""


def help_text(name: str) -> str:
    with click.Context(COMMANDS[name], info_name=name) as context:
        return COMMANDS[name].get_help(context)


def test_the_table_of_verbs_is_what_is_there() -> None:
    assert set(VERBS) == {
        "verity acknowledge",
        "verity audit",
        "verity commit show",
        "verity commit sign",
        "verity commit verify",
        "verity digest",
        "verity doctor",
        "verity enable",
        "verity etc apply",
        "verity etc diff",
        "verity etc revert",
        "verity etc sign",
        "verity etc status",
        "verity explain",
        "verity extension sign",
        "verity key generate",
        "verity key import",
        "verity key show",
        "verity keyring add-key",
        "verity keyring check",
        "verity keyring init",
        "verity keyring project",
        "verity keyring revoke",
        "verity keyring rotate",
        "verity keyring show",
        "verity keyring sign",
        "verity keyring verify",
        "verity lockdown bundle",
        "verity lockdown check",
        "verity lockdown confirm",
        "verity lockdown exception request",
        "verity lockdown exception show",
        "verity lockdown exception sign",
        "verity lockdown fanotify",
        "verity lockdown ima load",
        "verity lockdown ima policy",
        "verity lockdown ima sign",
        "verity lockdown ima status",
        "verity lockdown import",
        "verity lockdown init",
        "verity lockdown journal",
        "verity lockdown log",
        "verity lockdown observe",
        "verity lockdown pin",
        "verity lockdown protect",
        "verity lockdown remove",
        "verity lockdown seal",
        "verity lockdown stage",
        "verity lockdown status",
        "verity lockdown trial",
        "verity manifest convert",
        "verity manifest diff",
        "verity manifest make",
        "verity manifest show",
        "verity manifest verify",
        "verity measure",
        "verity objects check",
        "verity objects enable",
        "verity policy check",
        "verity policy compile",
        "verity policy show",
        "verity repair",
        "verity sign add",
        "verity sign attach",
        "verity sign merge",
        "verity sign prepare commit",
        "verity sign prepare etc",
        "verity sign prepare extension",
        "verity sign prepare file",
        "verity sign prepare keyring",
        "verity sign prepare policy",
        "verity sign prepare revoke",
        "verity sign prepare unlock",
        "verity sign prepare waiver",
        "verity sign show",
        "verity unlock apply",
        "verity unlock card",
        "verity unlock challenge",
        "verity unlock drill",
        "verity unlock ledger counter",
        "verity unlock ledger show",
        "verity unlock ledger verify",
        "verity unlock relock",
        "verity unlock review",
        "verity unlock sign",
        "verity unlock status",
    }


@pytest.mark.parametrize("name", VERBS)
def test_the_example_is_of_this_command_and_parses(name: str) -> None:
    line = example(VERBS[name])
    assert line.startswith(f"{name} "), f"an example as the epilog: {VERBS[name].epilog!r}"
    parse(line)


def test_the_example_of_the_program_parses() -> None:
    found = re.search(r"Example: (verity .*)", " ".join((COMMANDS["verity"].help or "").split()))
    assert found is not None
    parse(found[1])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_explains_every_option(name: str) -> None:
    text = help_text(name)
    assert COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts}"
            assert max(parameter.opts, key=len) in text
        elif isinstance(parameter, click.Argument):
            assert parameter.make_metavar(click.Context(COMMANDS[name])) in text


DOCUMENTS = {
    "verity lockdown ima policy",
    "verity manifest make",
    "verity manifest convert",
}


@pytest.mark.parametrize("name", sorted(set(VERBS) - DOCUMENTS))
def test_json_everywhere(name: str) -> None:
    # Those that are left out write a document, whose format is its own.
    assert any("--json" in parameter.opts for parameter in VERBS[name].params)


@pytest.mark.parametrize(
    "line",
    [
        "verity nonsense",
        "verity commit nonsense",
        "verity commit verify --key k REV",
        "verity commit sign --repo r --key k --stream s --serial 0 REV",
        "verity digest --nonsense FILE",
        "verity digest",
    ],
)
def test_the_parser_refuses_what_the_program_would(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)
