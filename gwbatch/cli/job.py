"""``gwbatch job``: computations by hand, anywhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gwbatch.annotation.graph import COINC, SAMPLES
from gwbatch.cli.options import json_option
from gwbatch.errors import BadInput

if TYPE_CHECKING:
    from gwbatch.config.policy import Policy

_IN = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write."
)


@click.group("job")
@click.option(
    "--policy",
    "policies",
    multiple=True,
    type=click.Path(path_type=Path),
    help="TOML file laid over the science policy, which gives what no option says; repeatable.",
)
@click.pass_context
def command(context: click.Context, policies: tuple[Path, ...]) -> None:
    """Run one computation by hand: the same code that batch jobs run, with the same policy.

    Each writes its output and a result.json beside it (checksums, host, cores, versions, run time).

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
    """
    context.obj = policies


@command.command()
@click.argument("coinc", type=_IN)
@click.option("--psd", type=_IN, help="PSD file, when it is not inside COINC.")
@click.option("--f-low", type=float, help="Low-frequency cutoff in Hz.  [default: the policy's, 15]")
@click.option(
    "--waveform",
    help="Template; auto: the field's choice, or IMRPhenomD where its data files are missing.  [default: the policy's, "
    "auto]",
)
@click.option("--graceid", help="Event id for the FITS header.")
@_OUT
@json_option
def localize(
    coinc: Path,
    psd: Path | None,
    f_low: float | None,
    waveform: str | None,
    graceid: str | None,
    output: Path,
    as_json: bool,
) -> None:
    """BAYESTAR: localize the event in COINC; OMP_NUM_THREADS says on how many cores."""
    inputs = {"coinc.xml": coinc, **({"psd.xml.gz": psd} if psd else {})}
    _run("localize", inputs, output, {"f_low": f_low, "waveform": waveform, "graceid": graceid}, as_json)


@command.command("plot-allsky")
@click.argument("skymap", type=_IN)
@click.option(
    "--contour",
    "contours",
    multiple=True,
    type=float,
    help="Credible level in per cent; repeatable.  [default: the policy's, 50 and 90]",
)
@_OUT
@json_option
def plot_allsky(skymap: Path, contours: tuple[float, ...], output: Path, as_json: bool) -> None:
    """The sky map in Mollweide projection."""
    _run(
        "plot-allsky",
        {skymap.name: skymap},
        output,
        {"contours": [f"{level:g}" for level in contours] or None},
        as_json,
    )


@command.command("plot-volume")
@click.argument("skymap", type=_IN)
@click.option("--dpi", type=click.IntRange(10, 2400), help="Dots per inch.  [default: the policy's, 200]")
@click.option(
    "--contour",
    "contours",
    multiple=True,
    type=click.FloatRange(0, 100, min_open=True, max_open=True),
    help="Credible level in per cent; repeatable.",
)
@click.option(
    "--max-distance",
    type=click.FloatRange(0, min_open=True),
    help="Half the width of the picture in Mpc.  [default: mean distance plus 2.5 standard deviations]",
)
@click.option(
    "--radecdist",
    multiple=True,
    type=(float, float, float),
    metavar="RA DEC DISTANCE",
    help="Mark a place, in deg and Mpc; repeatable.",
)
@click.option("--projection", type=click.IntRange(0, 3), help="Which face alone; 0: all three and the distance.")
@click.option("--align-to", type=_IN, help="Take the principal axes of this sky map.")
@click.option("--chain", type=_IN, help="HDF5 file of posterior samples, drawn as points.")
@click.option("--colormap", help="Any colour map of matplotlib.  [default: cylon]")
@click.option("--figure-width", type=click.FloatRange(0.5, 50), help="In inches.  [default: 3.5]")
@click.option("--figure-height", type=click.FloatRange(0.5, 50), help="In inches.  [default: 3.5]")
@click.option("--transparent", is_flag=True, default=None, help="Leave the background out.")
@click.option("--annotate/--no-annotate", default=None, help="Write event, instruments and distance.  [default: yes]")
@click.option("--summary/--no-summary", default=None, help="Write 90 % area and volume with them.  [default: yes]")
@click.option(
    "--exact", is_flag=True, help="Draw with ligo-skymap-plot-volume, for minutes; takes only --dpi and --contour."
)
@_OUT
@json_option
def plot_volume(
    skymap: Path, align_to: Path | None, chain: Path | None, exact: bool, output: Path, as_json: bool, **chosen: Any
) -> None:
    """The three-dimensional sky map, projected onto its principal planes.

    
    Examples:
      gwbatch job plot-volume bayestar.multiorder.fits -o bayestar.volume.png
      gwbatch job plot-volume bayestar.multiorder.fits --radecdist 197.45 -23.38 40.7 -o bayestar.volume.png
      gwbatch job plot-volume bayestar.multiorder.fits --projection 1 --dpi 300 -o face.pdf
    """
    from gwbatch.jobs.plot_volume import ALIGN_TO, CHAIN

    parameters = {name: value for name, value in chosen.items() if value not in (None, ())}
    unknown = sorted(set(parameters) - {"dpi", "contours"})
    if exact and (unknown or align_to or chain):
        raise click.UsageError("--exact takes only --dpi and --contour.")
    beside = {ALIGN_TO: align_to, CHAIN: chain}
    inputs = {skymap.name: skymap, **{name: path for name, path in beside.items() if path is not None}}
    _run("plot-volume-exact" if exact else "plot-volume", inputs, output, parameters, as_json)


@command.command("plot-coherence")
@click.argument("skymap", type=_IN)
@_OUT
@json_option
def plot_coherence(skymap: Path, output: Path, as_json: bool) -> None:
    """The Bayes factor for coherence against incoherence."""
    _run("plot-coherence", {skymap.name: skymap}, output, {}, as_json)


@command.command()
@click.argument("skymap", type=_IN)
@click.option("--nside", type=click.IntRange(0), help="Resolution; 0 keeps the finest.  [default: the policy's, 0]")
@_OUT
@json_option
def flatten(skymap: Path, nside: int | None, output: Path, as_json: bool) -> None:
    """A multi-order map at a single resolution."""
    _run("flatten", {skymap.name: skymap}, output, {"nside": nside}, as_json)


@command.command("fits-header")
@click.argument("skymap", type=_IN)
@_OUT
@json_option
def fits_header(skymap: Path, output: Path, as_json: bool) -> None:
    """The FITS headers as a web page."""
    _run("fits-header", {skymap.name: skymap}, output, {}, as_json)


@command.command("external-skymap")
@click.argument("notice", type=_IN)
@click.option("--topic", default="", help="Topic of a JSON notice, e.g. gcn.notices.swift.bat.guano.")
@click.option("--given", type=_IN, help="The observatory's own HEALPix map, to be taken instead of the error circle.")
@_OUT
@json_option
def external_skymap(notice: Path, topic: str, given: Path | None, output: Path, as_json: bool) -> None:
    """The sky map of an external trigger, from its NOTICE (a VOEvent, or JSON with --topic)."""
    from gwbatch.external import parse_notice
    from gwbatch.external.skymap import headers, model
    from gwbatch.jobs.external_skymap import GIVEN

    read = parse_notice(topic, notice.read_bytes())
    circle = model(read, _policy().external)
    if given is None and circle is None:
        raise BadInput(f"{notice} has no position: give a map with --given.")
    inputs = {} if given is None else {GIVEN: given}
    _run("external-skymap", inputs, output, {**headers(read), **(circle or {})}, as_json)


@command.command("combine-skymaps")
@click.argument("superevent", type=_IN)
@click.argument("external", type=_IN)
@_OUT
@json_option
def combine_skymaps(superevent: Path, external: Path, output: Path, as_json: bool) -> None:
    """The product of the maps of a SUPEREVENT and an EXTERNAL trigger; the overlap integral is in result.json."""
    _run("combine-skymaps", {"superevent.fits": superevent, "external.fits": external}, output, {}, as_json)


@command.command("multi-order")
@click.argument("skymap", type=_IN)
@_OUT
@json_option
def multi_order(skymap: Path, output: Path, as_json: bool) -> None:
    """A SKYMAP of a single resolution, as some pipelines make it, as a multi-order map.

    \b
    Example:
      gwbatch job multi-order cwb.fits.gz -o cwb.multiorder.fits
    """
    _run("multi-order", {skymap.name: skymap}, output, {}, as_json)


@command.command("skymap-from-samples")
@click.argument("samples", type=_IN)
@click.option("--most", type=click.IntRange(10), help="Samples to take, evenly spaced.  [default: the policy's, 5000]")
@_OUT
@json_option
def skymap_from_samples(samples: Path, most: int | None, output: Path, as_json: bool) -> None:
    """The sky map of posterior SAMPLES (HDF5), with distances if they have them.

    OMP_NUM_THREADS says on how many cores.

    \b
    Example:
      gwbatch job skymap-from-samples Bilby.posterior_samples.hdf5 -o Bilby.multiorder.fits
    """
    _run("skymap-from-samples", {samples.name: samples}, output, {"most": most}, as_json)


@command.command("em-bright")
@click.argument("event", type=_IN)
@click.option("--ssm", is_flag=True, help="Of a search for sub-solar-mass compact objects: HasSSM for HasRemnant.")
@click.option("--eos", "equations", multiple=True, help="Equation of state; repeatable.  [default: the policy's 13]")
@_OUT
@json_option
def em_bright(event: Path, ssm: bool, equations: tuple[str, ...], output: Path, as_json: bool) -> None:
    """Source properties of an EVENT: from the masses and spins of the template in its coinc.xml, or from samples.

    HasNS: a component is a neutron star. HasRemnant: the merger leaves matter outside. HasMassGap: a component has
    3 to 5 solar masses. docs/products.md describes the method and its limits.

    \b
    Examples:
      gwbatch job em-bright coinc.xml -o em_bright.json
      gwbatch job em-bright coinc.xml --eos SLY --eos MPA1 -o em_bright.json
      gwbatch job em-bright amplfi.posterior_samples.hdf5 -o em_bright.json
    """
    parameters = {"search": "ssm" if ssm else None, "equations_of_state": list(equations) or None}
    _run("em-bright", _event_or_samples(event), output, parameters, as_json)


@command.command("p-astro")
@click.argument("coinc", type=_IN)
@click.option("--pipeline", default="gstlal", show_default=True, help="Search pipeline: gstlal, pycbc, spiir or mbta.")
@_OUT
@json_option
def p_astro(coinc: Path, pipeline: str, output: Path, as_json: bool) -> None:
    """Source classification of the event in COINC: the probabilities of BNS, NSBH, BBH and Terrestrial.

    \b
    Example:
      gwbatch job p-astro coinc.xml --pipeline pycbc -o pycbc.p_astro.json
    """
    _run("p-astro", {"coinc.xml": coinc}, output, {"pipeline": pipeline}, as_json)


@command.command("mchirp-source")
@click.argument("event", type=_IN)
@click.argument("skymap", type=_IN, required=False)
@_OUT
@json_option
def mchirp_source(event: Path, skymap: Path | None, output: Path, as_json: bool) -> None:
    """Chirp mass of an EVENT in the frame of its source, in the field's bins: from its coinc.xml, at the distances of
    SKYMAP, or from posterior samples alone.

    \b
    Examples:
      gwbatch job mchirp-source coinc.xml bayestar.multiorder.fits -o mchirp_source.json
      gwbatch job mchirp-source amplfi.posterior_samples.hdf5 -o mchirp_source.json
    """
    inputs = _event_or_samples(event)
    if skymap is None and COINC in inputs:
        raise click.UsageError("Cannot compute the chirp mass from a coinc.xml alone: name the sky map, too.")
    _run("mchirp-source", {**inputs, **({skymap.name: skymap} if skymap else {})}, output, {}, as_json)


def _event_or_samples(event: Path) -> dict[str, Path]:
    return {SAMPLES if event.suffix in (".hdf5", ".h5") else COINC: event}


def _policy() -> Policy:
    from gwbatch.config.policy import load_policy

    return load_policy(*click.get_current_context().find_object(tuple) or ())


def _run(kind: str, inputs: Mapping[str, Path], output: Path, parameters: Mapping[str, Any], as_json: bool) -> None:
    from gwbatch.errors import ConfigError
    from gwbatch.jobs import result, runner

    if not output.parent.is_dir():
        raise ConfigError(f"The folder {output.parent} does not exist; make it first.")
    output = output.absolute()
    chosen = {name: value for name, value in parameters.items() if value is not None}
    parameters = {**_policy().annotation.parameters.get(kind, {}), **chosen}
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
