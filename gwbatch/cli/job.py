"""``gwbatch job``: computations run manually. Each command is generated from its computation's declaration."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gwbatch.cli.options import json_option
from gwbatch.errors import BadInput, ConfigError
from gwbatch.jobs.by_hand import Input, Other, Parameter
from gwbatch.jobs.catalogue import Computation, computation, computations
from gwbatch.plugins import import_plugins

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy

_IN = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write."
)


class _Computations(click.Group):
    """Generates a command for every computation that declares one, including those of plug-ins."""

    def list_commands(self, context: click.Context) -> list[str]:
        _import_installed()
        generated = [name for name, one in computations().items() if one.by_hand is not None]
        return sorted({*super().list_commands(context), *generated})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if (known := super().get_command(context, name)) is not None:
            return known
        _import_installed()
        try:
            one = computation(name)
        except ConfigError:
            return None
        return None if one.by_hand is None else _command_of(one)


@cache
def _import_installed() -> None:
    """Import the plug-ins installed for all sites, only once, because looking up entry points takes a moment."""
    import_plugins((), ())


def _import_plugin(context: click.Context, _parameter: click.Parameter, modules: tuple[str, ...]) -> None:
    import_plugins(modules, (str(Path.cwd()),) if modules else ())


@click.group("job", cls=_Computations)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path),
    help="TOML file that overrides the science policy, the source of values without an option; repeatable.",
)
@click.option(
    "--plugin",
    "plugins",
    multiple=True,
    is_eager=True,
    expose_value=False,
    callback=_import_plugin,
    help="Module with more computations, from the environment or the current folder; repeatable.",
)
@click.pass_context
def command(context: click.Context, policies: tuple[Path, ...]) -> None:
    """Run one computation manually, with the same code and policy as batch jobs.

    Each command writes its output and a result.json beside it (checksums, host, cores, versions, run time).

    \b
    Examples:
      gwbatch job localize coinc.xml -o bayestar.multiorder.fits
      gwbatch job plot-allsky bayestar.multiorder.fits -o bayestar.png
      gwbatch job plot-volume bayestar.multiorder.fits --contour 50 --contour 90 -o bayestar.volume.png
      gwbatch job external-skymap notice.xml -o external.multiorder.fits
      gwbatch job em-bright coinc.xml -o em_bright.json
      gwbatch job p-astro coinc.xml --pipeline gstlal -o gstlal.p_astro.json
      gwbatch job mchirp-source coinc.xml bayestar.multiorder.fits -o mchirp_source.json
      gwbatch job combine-skymaps bayestar.multiorder.fits external.multiorder.fits -o combined.multiorder.fits
      gwbatch job --policy mine.toml localize coinc.xml -o bayestar.multiorder.fits
      gwbatch job --plugin site_plots plot-scatter coinc.xml -o scatter.png
    """
    context.obj = policies


@command.command("external-skymap")
@click.argument("notice", type=_IN)
@click.option("--topic", default="", help="Topic of a JSON notice, e.g. gcn.notices.swift.bat.guano.")
@click.option("--given", type=_IN, help="The observatory's own HEALPix map, used instead of the error circle.")
@_OUT
@json_option
def external_skymap(notice: Path, topic: str, given: Path | None, output: Path, as_json: bool) -> None:
    """Make the sky map of an external trigger from its NOTICE (a VOEvent, or JSON with --topic)."""
    from gwbatch.external import parse_notice
    from gwbatch.external.skymap import headers, model
    from gwbatch.jobs.external_skymap import GIVEN

    read = parse_notice(topic, notice.read_bytes())
    circle = model(read, _policy().external)
    if given is None and circle is None:
        raise BadInput(f"{notice} has no position. Give a map with --given.")
    inputs = {} if given is None else {GIVEN: given}
    _run("external-skymap", inputs, output, {**headers(read), **(circle or {})}, as_json)


def _command_of(one: Computation) -> click.Command:
    by_hand = one.by_hand
    assert by_hand is not None

    def run(output: Path, as_json: bool, **given: Any) -> None:
        given = {name: value for name, value in given.items() if value not in (None, ())}
        kind = one.name
        if by_hand.other is not None and given.pop(by_hand.other.option):
            kind = by_hand.other.job
            _require_known(by_hand.other, given)
        inputs = {found.known_as(given[found.name].name): given[found.name] for found in _given(by_hand.inputs, given)}
        if (problem := by_hand.wrong(inputs)) is not None:
            raise click.UsageError(problem)
        parameters = {found.name: given[found.name] for found in _given(by_hand.parameters, given)}
        defaults = {found.name: found.default for found in by_hand.parameters if found.default is not None}
        _run(kind, inputs, output, parameters, as_json, defaults)

    examples = [f"  gwbatch job {example}" for example in by_hand.examples]
    shown = ["", "\b", "Example:" if len(examples) == 1 else "Examples:", *examples] if examples else []
    made = click.command(one.name, help="\n".join([by_hand.summary, *shown]))(_OUT(json_option(run)))
    arguments = [_argument(found) for found in by_hand.inputs if not found.help]
    options = [_file(found) for found in by_hand.inputs if found.help] + [_option(one) for one in by_hand.parameters]
    if by_hand.other is not None:
        options.append(click.Option([f"--{by_hand.other.option}"], is_flag=True, help=by_hand.other.help))
    made.params = [*arguments, *options, *made.params]
    return made


Declared = TypeVar("Declared", Input, Parameter)


def _given(declared: Iterable[Declared], given: Mapping[str, Any]) -> list[Declared]:
    return [one for one in declared if one.name in given]


def _require_known(other: Other, given: Mapping[str, Any]) -> None:
    """Raise unless the other computation takes everything that was given."""
    by_hand = computations()[other.job].by_hand
    assert by_hand is not None
    known = {*(one.name for one in by_hand.inputs), *(one.name for one in by_hand.parameters)}
    if not set(given) <= known:
        takes = [f"--{one.option or one.name}" for one in by_hand.parameters]
        raise click.UsageError(f"--{other.option} takes only {' and '.join(takes)}.")


def _argument(found: Input) -> click.Argument:
    return click.Argument([found.name], type=_IN, required=found.is_required)


def _file(found: Input) -> click.Option:
    return click.Option([f"--{found.name.replace('_', '-')}", found.name], type=_IN, help=found.help)


def _option(found: Parameter) -> click.Option:
    flag = f"--{(found.option or found.name).replace('_', '-')}"
    shown: dict[str, Any] = {"help": found.help, "metavar": found.metavar, "required": found.is_required}
    if found.stands_for is not None:
        return click.Option([flag, found.name], flag_value=found.stands_for, default=None, **shown)
    if found.kind is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}", found.name], default=None, **shown)
    return click.Option([flag, found.name], type=_type(found), multiple=found.is_repeated, **shown)


def _type(found: Parameter) -> Any:
    if found.kind not in (int, float) or (found.least is None and found.most is None):
        return found.kind
    bounds: Any = click.IntRange if found.kind is int else click.FloatRange
    return bounds(
        found.least, found.most, min_open=found.is_open and found.least is not None,
        max_open=found.is_open and found.most is not None,
    )  # fmt: skip


def _policy() -> Policy:
    from gwbatch.config.policy import load_policy

    return load_policy(*click.get_current_context().find_object(tuple) or ())


def _run(
    kind: str,
    inputs: Mapping[str, Path],
    output: Path,
    chosen: Mapping[str, Any],
    as_json: bool,
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Run a computation and exit.

    The command line's parameters take precedence over the policy's, and those over the computation's defaults.
    """
    from gwbatch.jobs import result, runner

    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist; make it first.")
    output = output.absolute()
    listed = {name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()}
    parameters = {**(defaults or {}), **_policy().annotation.parameters.get(kind, {}), **listed}
    absolute = {name: path.absolute() for name, path in inputs.items()}
    code = runner.run(f"by-hand/{kind}", kind, absolute, output, parameters, output.parent)
    done = json.loads((output.parent / result.NAME).read_text())
    if as_json:
        click.echo(json.dumps(done))
    elif done["error"]:
        click.echo(f"Error: {done['error']['message']}", err=True)
    else:
        click.echo(f"{output} written in {done['run_seconds']:.1f} s on {done['cores']} core(s) of {done['host']}")
    sys.exit(code)
