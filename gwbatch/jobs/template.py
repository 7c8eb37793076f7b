"""The best-matching template of an event: its masses, spins and SNR, from an alert or from ``coinc.xml``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gwbatch.errors import BadInput
from gwbatch.jobs.by_hand import Input, Parameter

COINC = "coinc.xml"
EVENT = Input("event", COINC, {".hdf5": "posterior_samples.hdf5", ".h5": "posterior_samples.hdf5"})
SSM = Parameter(
    "search", "The event is from a sub-solar-mass search: HasSSM instead of HasRemnant.", option="ssm", stands_for="ssm"
)


@dataclass(frozen=True)
class Template:
    """The parameters of a template, from which classifications start.

    Attributes
    ----------
    mass1, mass2 : float
        Component masses in the detector frame, in solar masses.
    spin1z, spin2z : float
        Dimensionless spins along the orbital angular momentum, -1 to 1.
    snr : float or None
        Network signal-to-noise ratio.
    far : float or None
        False alarm rate, in Hz.
    instruments : tuple of str
        Detectors that contributed to the event.
    """

    mass1: float
    mass2: float
    spin1z: float = 0.0
    spin2z: float = 0.0
    snr: float | None = None
    far: float | None = None
    instruments: tuple[str, ...] = ()

    @property
    def chirp_mass(self) -> float:
        """Chirp mass in the detector frame, in solar masses."""
        return float((self.mass1 * self.mass2) ** 0.6 / (self.mass1 + self.mass2) ** 0.2)


def read_template(inputs: Mapping[str, Path], parameters: Mapping[str, Any]) -> Template:
    """Return the template from the parameters of a job, or else from its ``coinc.xml``.

    Raises
    ------
    BadInput
        When neither has these parameters, or a mass or spin is impossible.
    """
    if "mass1" in parameters:
        known = {name: parameters[name] for name in ("mass1", "mass2", "spin1z", "spin2z") if name in parameters}
        found = Template(
            **{name: _number(name, value) for name, value in known.items()},
            snr=parameters.get("snr"),
            far=parameters.get("far"),
            instruments=tuple(parameters.get("instruments", ())),
        )
    elif COINC in inputs:
        found = _from_coinc(inputs[COINC])
    else:
        raise BadInput(f"Cannot classify the event: it has no {COINC}, and its alert gives no masses.")
    if not (found.mass1 > 0 and found.mass2 > 0):
        raise BadInput(f"Cannot classify the event: masses {found.mass1} and {found.mass2} must be positive.")
    if max(abs(found.spin1z), abs(found.spin2z)) > 1:
        raise BadInput(f"Cannot classify the event: spins {found.spin1z} and {found.spin2z} must be from -1 to 1.")
    return found


def _from_coinc(path: Path) -> Template:
    from igwn_ligolw import lsctables, utils

    try:
        document = utils.load_filename(str(path))
        singles = list(lsctables.SnglInspiralTable.get_table(document))
        (coinc,) = lsctables.CoincInspiralTable.get_table(document)
        first = singles[0]
        return Template(
            _number("mass1", first.mass1),
            _number("mass2", first.mass2),
            _number("spin1z", getattr(first, "spin1z", None) or 0.0),
            _number("spin2z", getattr(first, "spin2z", None) or 0.0),
            snr=coinc.snr,
            far=coinc.combined_far,
            instruments=tuple(sorted(coinc.instruments or ())),
        )
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(
            f"Cannot read the template of {path.name}: {type(error).__name__}: {error}. "
            "It must be a LIGO_LW file with one coincidence."
        ) from error


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise BadInput(f"Cannot classify the event: {name} is {value!r}, not a number.")
    return number
