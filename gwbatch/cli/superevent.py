"""``gwbatch superevent``: superevents, and orders about them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli import output
from gwbatch.cli.options import json_option, ledger_path, policy_in_force, policy_option, state_option
from gwbatch.cli.orders import hand_over, why_option

if TYPE_CHECKING:
    from gwbatch.handlers.messages import Message


@click.group("superevent")
def command() -> None:
    """Show superevents, the decisions behind them and the work done for them; give orders about one.

    SUPEREVENT is GraceDB's ID or the local key (S@G123).

    
    Examples:
      gwbatch superevent list
      gwbatch superevent list --name S2406
      gwbatch superevent show S240601a
      gwbatch superevent show S240601a --picture where-time-went.png
      gwbatch superevent annotate S240601a
      gwbatch superevent prefer S240601a G456
      gwbatch superevent prefer S240601a G456 --pipeline --why "longer template"
      gwbatch superevent copy-map G456 bayestar.multiorder.fits,1 S240601a
    """


@command.command("list")
@click.option("--name", default="", metavar="BEGINNING", help="Only those whose name or a member's begins with this.")
@click.option("--limit", default=50, show_default=True, help="How many, newest first.")
@state_option
@json_option
def list_all(name: str, limit: int, state: Path | None, as_json: bool) -> None:
    """List the newest superevents."""
    from gwbatch.ledger import Ledger
    from gwbatch.reports.listings import Wanted, superevents

    found = superevents(Ledger(ledger_path(state)), Wanted(words=name, limit=limit)).rows
    output.show(found, as_json, _line, "superevents")


def _line(one: dict[str, Any]) -> str:
    far = "" if one["far"] is None else f"{one['far']:.3g} Hz"
    return f"{one['superevent_id'] or one['key']:14s} {one['preferred']:10s} {far:14s} {' '.join(one['labels'])}"


@command.command()
@click.argument("superevent")
@policy_option
@state_option
@json_option
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), help="PNG file to draw the timeline into, too."
)
def show(superevent: str, policies: tuple[Path, ...], state: Path | None, as_json: bool, picture: Path | None) -> None:
    """Show a superevent's members, why its preferred event is preferred, coincidences, jobs and the timeline."""
    found = _find(superevent, state, policies)
    if picture is not None:
        _draw(found, picture)
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{found['superevent_id'] or found['key']}  {found['category']}  t_0 {found['t_0']:.3f}")
    click.echo(f"labels: {' '.join(found['labels'])}")
    click.echo(f"policy: {found['policy']}")
    for member in found["members"]:
        mark = "*" if member["graceid"] == found["preferred"] else " "
        rank = ", ".join(f"{name} {_short(value)}" for name, value in member.get("preference", {}).items())
        click.echo(f"{mark} {member['graceid']}  {member.get('pipeline', '?')}  FAR {member.get('far')} Hz  ({rank})")
    for one in found["coincidences"]:
        mark = "*" if one["chosen"] else " "
        rates = f"joint FAR {one['far_time']:.3g} Hz, with the sky {one['far_spacetime']}"
        vetoed = f", vetoed: {'; '.join(one['reasons'])}" if one["reasons"] else ""
        click.echo(f"{mark} {one['observatory']} {one['trigger_id']}: {one['dt']:+.2f} s, {rates}{vetoed}")
    click.echo("")
    for entry in found["timeline"]:
        moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(entry["at"]))
        click.echo(f"{moment}  {entry['what']:26s} {entry['text']}")


@command.command()
@click.argument("superevent")
@state_option
def annotate(superevent: str, state: Path | None) -> None:
    """Retry the failed products of a superevent and request the missing ones."""
    from gwbatch.handlers.messages import Annotate

    _order(superevent, state, Annotate)


@command.command()
@click.argument("superevent")
@click.argument("event")
@click.option("--pipeline", is_flag=True, help="Only as the event shown for its pipeline; this causes no notice.")
@why_option
@state_option
def prefer(superevent: str, event: str, pipeline: bool, why: str, state: Path | None) -> None:
    """Make EVENT, a member of SUPEREVENT, the preferred event, or with --pipeline the event shown for its pipeline."""
    from gwbatch.errors import ConfigError
    from gwbatch.handlers.messages import Prefer, PreferForPipeline

    members = [member["graceid"] for member in _find(superevent, state)["members"]]
    if event not in members:
        raise ConfigError(f"{event} is not a member of {superevent}; its members: {', '.join(members)}.")
    if pipeline:
        _order(superevent, state, PreferForPipeline, event=event, why=why)
    else:
        _order(superevent, state, Prefer, event=event, why=why)


@command.command("copy-map")
@click.argument("source")
@click.argument("file", metavar="FILE[,VERSION]")
@click.argument("target")
@why_option
@state_option
def copy_map(source: str, file: str, target: str, why: str, state: Path | None) -> None:
    """Copy the sky map FILE of SOURCE to TARGET: any two events or superevents, by their GraceDB IDs.

    On a superevent, the initial notice, updates and combined maps use it. On an event, it replaces the map that was
    made for that event.
    """
    from gwbatch.errors import ConfigError
    from gwbatch.handlers.messages import CopyMap
    from gwbatch.ledger import Ledger

    if not file.partition(",")[0].endswith((".fits", ".fits.gz")):
        raise ConfigError(f"Cannot copy {file} as a sky map: it is not a FITS file.")
    ledger = Ledger(ledger_path(state))
    hand_over(ledger, CopyMap, f"gwbatch superevent show {target}", source=source, file=file, target=target, why=why)


def _order(superevent: str, state: Path | None, kind: type[Message], **more: Any) -> None:
    from gwbatch.ledger import Ledger

    key, look = _find(superevent, state)["key"], f"gwbatch superevent show {superevent}"
    hand_over(Ledger(ledger_path(state)), kind, look, superevent=key, **more)


def _find(superevent: str, state: Path | None, policies: tuple[Path, ...] = ()) -> dict[str, Any]:
    from gwbatch.errors import ConfigError
    from gwbatch.ledger import Ledger
    from gwbatch.reports import detail

    ledger = Ledger(ledger_path(state))
    policy, which = policy_in_force(ledger, policies)
    found = detail.superevent(ledger, superevent, policy)
    if found is None:
        raise ConfigError(f"There is no superevent {superevent!r}; see 'gwbatch superevent list'.")
    return {**found, "policy": which}


def _draw(found: dict[str, Any], picture: Path) -> None:
    """Draw the timeline, with a row for alerts, for each kind of decision and write, and for each job."""
    from gwbatch.errors import ConfigError, missing_package

    try:
        from gwbatch.jobs.charts import timeline

        moments: dict[str, list[float]] = {}
        for entry in found["timeline"]:
            if not entry["what"].startswith("job "):
                moments.setdefault(entry["what"], []).append(entry["at"])
        begin = min((at for times in moments.values() for at in times), default=found["t_0"])
        rows: list[tuple[str, list[float], float, float]] = [
            (what, [at - begin for at in times], 0.0, 0.0) for what, times in moments.items()
        ]
        for job in found["jobs"]:
            if job["started"] is not None:
                end = time.time() if job["finished"] is None else job["finished"]
                submitted = [job["submitted"] - begin] if job["submitted"] is not None else []
                rows.append((job["key"], submitted, job["started"] - begin, end - begin))
        timeline(rows, title=f"Where time went: {found['superevent_id'] or found['key']}", output=picture)
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except OSError as error:
        raise ConfigError(f"Cannot write {picture}: {error.strerror}.") from error


def _short(value: Any) -> str:
    return ("no", "yes")[value] if isinstance(value, bool) else f"{value:g}"
