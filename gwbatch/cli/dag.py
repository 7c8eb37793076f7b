"""``gwbatch dag``: the annotation of events as a stand-alone workflow."""

from __future__ import annotations

import gzip
import json
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gwbatch.cli.options import json_option, site_options

if TYPE_CHECKING:
    from gwbatch.config.profile import Profile

_GRACEID = re.compile(r"(MS|TS|S|G|M|T|E)\d+[A-Za-z]*")


@click.group("dag")
def command() -> None:
    """Compute an event's sky map, plots and conversions as a DAG, without a dispatcher.

    
    Examples:
      gwbatch dag write coinc.xml -o my-event --site my-site.toml
      condor_submit_dag my-event/workflow.dag
    """


@command.command()
@click.argument("what", nargs=-1, required=True, metavar="(EVENT_FILE... | SUPEREVENT)")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder to make.")
@click.option(
    "--scheduler",
    metavar="NAME",
    help="Write for this batch system (htcondor, slurm, or a plug-in's).  [default: the site profile's]",
)
@click.option("--dry-run", is_flag=True, help="Print every file that would be submitted; write nothing.")
@site_options
@json_option
def write(
    what: tuple[str, ...],
    output: Path | None,
    scheduler: str | None,
    dry_run: bool,
    site: str,
    settings: tuple[str, ...],
    policies: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write a workflow that makes the data products of event files, or of a superevent in GraceDB.

    Each event file (coinc.xml) yields a sky map and its plots; for a superevent, the preferred event is used.
    Products go to FOLDER/products, and the outcome of each node to FOLDER/summary.json.  A failed node is retried as
    often as the policy allows.  After that DAGMan leaves a rescue DAG, and submitting the same DAG again continues
    where it stopped.

    \b
    Examples:
      gwbatch dag write coinc.xml -o my-event --site htcondor-generic
      gwbatch dag write a/coinc.xml b/coinc.xml -o two --site my-site.toml
      gwbatch dag write S240422ed -o S240422ed --site my-site.toml
      gwbatch dag write coinc.xml --dry-run --scheduler slurm
    """
    from gwbatch.annotation import workflow
    from gwbatch.config.policy import load_policy
    from gwbatch.config.profile import load_site
    from gwbatch.errors import ConfigError
    from gwbatch.schedulers import make_workflow_writer
    from gwbatch.schedulers.workflow import prepare_workflow

    if output is None and not dry_run:
        raise ConfigError("Name a folder with -o FOLDER, or use --dry-run to see only the files.")
    chosen = [f"scheduler.kind={scheduler}"] if scheduler else []
    profile = load_site(site, [*settings, *chosen]).profile
    write_workflow = make_workflow_writer(profile)
    policy = load_policy(*policies)
    with tempfile.TemporaryDirectory() as scratch:
        inputs = _inputs(what, profile, Path(scratch))
        nodes = [
            node for subject, files in inputs.items() for node in workflow(subject, files.keys(), policy.annotation)
        ]
        final = (output or Path("workflow")).absolute()
        folder = Path(scratch) / "dry-run" if dry_run else final
        written = write_workflow(prepare_workflow(folder, nodes, inputs, profile, policy.annotation.max_attempts))
        if dry_run:
            paths = [written.path, *sorted(folder.glob("nodes/*/node.*"))]
            texts = {str(path.relative_to(folder)): path.read_text().replace(str(folder), str(final)) for path in paths}
            shown = (f"---- {name}\n{text}" for name, text in texts.items())
            click.echo(json.dumps({"files": texts}) if as_json else "\n".join(shown))
            return
    if as_json:
        click.echo(json.dumps({"workflow": str(written.path), "nodes": [node.name for node in nodes]}))
    else:
        click.echo(f"{written.path}: {len(nodes)} nodes. Submit it with: {written.command} {written.path}")


def _inputs(what: tuple[str, ...], profile: Profile, scratch: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each subject, by their names in the annotation graph."""
    from gwbatch.errors import BadInput

    found: dict[str, dict[str, Path]] = {}
    for text in what:
        path = Path(text)
        if path.is_file():
            if b"LIGO_LW" not in _beginning(path):
                raise BadInput(f"{text} is not an event file. A coinc.xml (LIGO_LW) is required.")
            found[_unused(_named(path), found)] = {"coinc.xml": path}
        elif _GRACEID.fullmatch(text):
            found[text] = _from_gracedb(text, profile, scratch)
        else:
            raise BadInput(f"{text} is neither a file nor the ID of a superevent or event.")
    return found


def _beginning(path: Path) -> bytes:
    """Read enough of a file to recognize its type, and decompress it if necessary."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
        try:
            return stream.read(4096)
        except (OSError, EOFError):
            return b""


def _named(path: Path) -> str:
    """Name a file's subject after the file, or after its folder if the file is just called ``coinc.xml``."""
    stem = path.parent.name if path.name == "coinc.xml" and path.absolute().parent.name else path.name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]", "-", stem) or "event"


def _unused(name: str, taken: dict[str, dict[str, Path]]) -> str:
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _from_gracedb(graceid: str, profile: Profile, scratch: Path) -> dict[str, Path]:
    from gwbatch.annotation.graph import COINC, MAP, PSD
    from gwbatch.errors import BadInput, ConfigError
    from gwbatch.gracedb import GraceDB, make_client, translate_errors

    if not profile.gracedb.url:
        raise ConfigError(f"Cannot fetch {graceid} from GraceDB: the site profile names no server. Set gracedb.url.")
    client = make_client(profile.gracedb)
    event = graceid
    with translate_errors(f"look up {graceid}"):
        if "S" in graceid[:2]:
            event = str(client.superevent(graceid).json()["preferred_event"])
        there = {entry["filename"] for entry in client.files(event).json()["files"]}
    wanted = [COINC, *([PSD] if PSD in there else [])] if COINC in there else [MAP]
    if wanted[0] not in there:
        raise BadInput(f"{event} has neither {COINC} nor {MAP}: there is nothing to annotate.")
    files = {}
    for name in wanted:
        files[name] = scratch / f"{graceid}-{name}"
        files[name].write_bytes(GraceDB(client).download(event, name))
    return files
