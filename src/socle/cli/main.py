"""The command line: `socle VERB`. A verb's file parses, calls, prints; this one gathers them."""

from __future__ import annotations

import importlib
import json
import sys
import traceback

import click

from socle.errors import Exit, ProblemsError, SocleError

_VERBS = (
    "adopt",
    "apply",
    "audit",
    "backup",
    "doctor",
    "journal",
    "lab",
    "login",
    "plan",
    "report",
    "request",
    "restore",
    "schedule",
    "secrets",
    "status",
)


class _Verbs(click.Group):
    """Imports a verb's module when it is called: Pulumi and pyinfra take a second that `request` need not wait."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        if cmd_name not in self.commands:
            importlib.import_module(f"socle.cli.{cmd_name}").register(self)
        return self.commands[cmd_name]


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="socle")
def socle() -> None:
    """Free-software hosting for associations, from request to proof."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the documented code."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = socle.main(args=given, prog_name="socle", standalone_mode=False)
    except SocleError as error:
        _show_error(error, "--json" in given)
        sys.exit(error.exit)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.INVALID)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: run the same command again to complete it.", err=True)
        sys.exit(130)
    except Exception as error:
        _show_unexpected(error, given)
        sys.exit(Exit.UNEXPECTED)
    sys.exit(code if isinstance(code, int) else Exit.DONE)


def _show_error(error: SocleError, as_json: bool) -> None:
    if not as_json:
        click.echo(str(error), err=True)
        return
    problems = [vars(problem) for problem in error.problems] if isinstance(error, ProblemsError) else []
    click.echo(json.dumps({"error": str(error), "problems": problems}, ensure_ascii=False), err=True)


def _show_unexpected(error: Exception, arguments: list[str]) -> None:
    """A defect of ours: one line, and the traceback with -v. Local values are never shown: they hold secrets."""
    if any(argument in ("-v", "-vv", "--verbose") for argument in arguments):
        traceback.print_exc()
    click.echo(f"Unexpected {type(error).__name__}: {error} (this is a defect of socle; -v shows where)", err=True)
