"""The command line, with one command per file. ``gwbatch --help`` imports none of them."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from gwbatch import __version__
from gwbatch.errors import GwbatchError, missing_package

# name: (module, one line for the overview); the module's `command` is imported only when it is called.
COMMANDS = {
    "demo": ("demo", "See it all work on this machine in three minutes."),
    "run": ("run", "Run the dispatcher: listeners, lanes, effects, jobs."),
    "status": ("status", "Show what the dispatcher does and what is wrong."),
    "doctor": ("doctor", "Check everything once, in depth, and say what to do."),
    "latency": ("latency", "Show where the time of superevents went."),
    "check": ("check", "Report problems with Nagios/Icinga exit codes."),
    "metrics": ("metrics", "Print metrics for Prometheus, or a Grafana dashboard."),
    "console": ("console", "Serve a self-updating web page over the ledger."),
    "listen": ("listen", "Run one listener in the foreground."),
    "replay": ("replay", "Replay recorded alerts and notices to see the decisions."),
    "simulate": ("simulate", "Simulate a stream of events, a pool and a policy in virtual time."),
    "job": ("job", "Run one computation manually: localize, plots, conversions."),
    "deploy": ("deploy", "Run dispatcher and console as jobs of the batch system."),
    "dag": ("dag", "Write the annotation of events as a DAG for a cluster."),
    "alerts": ("alerts", "List and show public notices; send, withhold, stop them."),
    "campaign": ("campaign", "Localize thousands of events on many nodes."),
    "mdc": ("mdc", "Upload mock events, and check that their notices went out."),
    "reconcile": ("reconcile", "Compare the ledger with GraceDB, and make them agree."),
    "backup": ("backup", "Copy the ledger while the dispatcher runs."),
    "restore": ("restore", "Make a new state directory from a copy of the ledger."),
    "superevent": ("superevent", "List and show superevents; annotate again, choose the preferred event."),
    "external": ("external", "List and show external events; announce one, give one a sky map."),
    "jobs": ("jobs", "List and show jobs; release, cancel or retry one."),
    "standby": ("standby", "List, order and report on pilots that wait for work."),
    "deadletter": ("deadletter", "List, show and retry what could not be processed."),
    "site": ("site", "List and show site profiles and the policy."),
    "completion": ("completion", "Print the shell's completion script."),
    "sandbox": ("sandbox", "Serve a GraceDB-compatible API and a loopback Kafka broker."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = import_module(f"gwbatch.cli.{COMMANDS[name][0]}").command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gwbatch")
def cli() -> None:
    """Turn gravitational-wave alerts into superevents, and superevents into sky maps with whole-node batch jobs.

    
    Examples:
      gwbatch demo                 everything at once, on simulated events
      gwbatch run --site local     run the dispatcher
      gwbatch status --watch       watch it
    """


def main() -> None:
    """Run the command line. Print errors as one plain sentence and exit with a meaningful code.

    Exit codes: 0 success, 1 failure, 2 wrong usage or configuration, 3 bad input, 4 already running, 130 interrupted.
    """
    try:
        code = cli.main(standalone_mode=False)  # click hands an Exit's code back
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except GwbatchError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("gwbatch"):
            raise
        click.echo(f"Error: {missing_package(error)}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.filename is None:
            raise
        click.echo(f"Error: {error.filename}: {error.strerror}.", err=True)
        sys.exit(1)
