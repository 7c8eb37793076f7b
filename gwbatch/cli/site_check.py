"""``gwbatch site check``: a tiny whole-node job that tests a site profile."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.cli.options import json_option, profile_options

if TYPE_CHECKING:
    from gwbatch.config.profile import Resources
    from gwbatch.dispatcher.run_once import RunOutcome
    from gwbatch.model import JobStatus


@click.command("check")
@click.argument("name")
@profile_options
@click.option("--dry-run", is_flag=True, help="Print exactly what would be submitted, and submit nothing.")
@click.option("--timeout", default=1800.0, show_default=True, help="Seconds after which the job is cancelled.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the job's files go.  [default: where the profile's jobs have theirs]",
)
@json_option
def command(
    name: str, settings: tuple[str, ...], dry_run: bool, timeout: float, folder: Path | None, as_json: bool
) -> None:
    """Submit a tiny whole-node job and report what it found: cores, threads, software, transfer, time to start.

    The job localizes an event that takes BAYESTAR one to a few seconds.  Exit code 1 if something is wrong.

    \b
    Examples:
      gwbatch site check local
      gwbatch site check my-cluster.toml --json
      gwbatch site check ligo-cit --dry-run --set scheduler.accounting_group=igwn.dev.o4.cbc.pe.bayestar
    """
    from gwbatch.config.profile import default_state_directory, load_site
    from gwbatch.config.resources import example_event
    from gwbatch.dispatcher import run_once
    from gwbatch.schedulers import describe, make_scheduler

    profile = load_site(name, settings).profile
    inputs = {"coinc.xml": example_event("short")}
    place = (folder or profile.job_folder(default_state_directory())).absolute()
    if dry_run:
        with tempfile.TemporaryDirectory() as scratch:
            request = run_once.prepare_job("site-check", inputs, "report.json", {}, profile, Path(scratch) / "check")
            request = replace(request, directory=place / "check")
            text = describe(profile, default_state_directory(), request)
            click.echo(json.dumps({"submit": text}) if as_json else text, nl=as_json)
        return
    profile.require_complete("scheduler.")
    place.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="check-", dir=place))
    scheduler = make_scheduler(profile, directory)
    try:
        request = run_once.prepare_job("site-check", inputs, "report.json", {}, profile, directory / "job")
        ran = run_once.run(request, scheduler, timeout, watch=_tell)
    finally:
        scheduler.close()
    rows = _judge(ran, request.resources)
    if as_json:
        click.echo(json.dumps({"site": name, "ok": all(row["ok"] for row in rows), "checks": rows}))
    else:
        for row in rows:
            click.echo(f"{'ok   ' if row['ok'] else 'WRONG'} {row['check']:18s} {row['found']}")
        click.echo(f"Files of the job: {directory}")
    if not all(row["ok"] for row in rows):
        raise click.exceptions.Exit(1)


def _tell(report: JobStatus) -> None:
    words = (f"{report.state.lower():8s}", report.native_id, report.host, report.reason)
    click.echo("job is " + "  ".join(word for word in words if word), err=True)


def _judge(ran: RunOutcome, asked: Resources) -> list[dict[str, Any]]:
    """Return one row for each finding of the job, with whether it is as it should be."""
    from gwbatch.jobs.result import sha256
    from gwbatch.jobs.waveforms import WITHOUT_ROM_DATA

    facts = ran.result["facts"]
    threads = facts.get("omp_num_threads")
    cores = ran.report.cores or ran.result["cores"]
    sent = {name: sha256(ran.directory / name) for name in facts["received"]}
    trouble = facts.get("trouble")
    rows: list[tuple[str, object, bool]] = [
        ("node", ran.result["host"], True),
        ("cores", f"{cores} of one node, at least {asked.min_cores} wanted", cores >= asked.min_cores),
        ("OMP_NUM_THREADS", threads, threads == str(cores)),
        ("Python", f"{facts['python']} ({facts['executable']})", True),
        ("ligo.skymap", trouble or f"imports in {facts['import_seconds']:.1f} s", trouble is None),
        (
            "localization",
            trouble or f"{facts['localize_seconds']:.1f} s for the short event",
            "localize_seconds" in facts,
        ),
        ("waveform data", "found" if facts["rom_data"] else f"missing; {WITHOUT_ROM_DATA}", True),
        ("transfer there", f"{len(sent)} file(s), checksums compared", facts["received"] == sent),
        ("transfer back", f"checksums compared, {ran.returned:.2f} s after the job's end", True),
        ("start", f"first instruction {ran.waited:.2f} s after the decision", True),
    ]
    classifiers = facts.get("em_bright")
    if classifiers is not None:
        shown = classifiers.get("error") or f"{classifiers['version']}: {classifiers['properties']}"
        rows.append(("ligo.em_bright", shown, "error" not in classifiers))
    return [{"check": check, "found": found, "ok": ok} for check, found, ok in rows]
