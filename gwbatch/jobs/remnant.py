"""Matter left outside by a merger: neutron stars by equation of state, and the remnant mass of a disrupted one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from gwbatch.errors import BadInput

GEOMETRIC_KM = 1.4766250385  # G times solar mass over c squared, in km
LIGHTEST_STAR = 0.5  # solar masses; lighter stars do not form, and their radii diverge
GRID = 200
# Foucart, Hinderer and Nissanke 2018 (arXiv:1807.00011), equation 4 and table 1
ALPHA, BETA, GAMMA, DELTA = 0.406, 0.139, 0.255, 1.761


@dataclass(frozen=True)
class EquationOfState:
    """The sequence of cold, non-rotating stars of one equation of state.

    Attributes
    ----------
    largest_mass : float
        Gravitational mass of the heaviest star, in solar masses.
    masses : array, shape (200,)
        Gravitational masses in solar masses, ascending.
    compactnesses : array, shape (200,)
        G M / (R c^2) of each.
    """

    name: str
    largest_mass: float
    masses: Any
    compactnesses: Any

    def compactness(self, mass: Any) -> Any:
        """Return G M / (R c^2) for masses in solar masses, of any shape; constant beyond both ends of the sequence."""
        import numpy as np

        return np.interp(mass, self.masses, self.compactnesses)


@cache
def equation_of_state(name: str) -> EquationOfState:
    """Solve the structure equations for one of lalsimulation's equations of state, e.g. ``SLY``.

    Raises
    ------
    BadInput
        When lalsimulation does not know the name.
    """
    import lal
    import lalsimulation
    import numpy as np

    known = [str(known) for known in lalsimulation.SimNeutronStarEOSNames]
    if name not in known:
        raise BadInput(f"Unknown equation of state {name!r}. lalsimulation has: {', '.join(sorted(known))}.")
    family = lalsimulation.CreateSimNeutronStarFamily(lalsimulation.SimNeutronStarEOSByName(name))
    largest = lalsimulation.SimNeutronStarMaximumMass(family) / lal.MSUN_SI
    least = max(LIGHTEST_STAR, 1.001 * lalsimulation.SimNeutronStarFamMinimumMass(family) / lal.MSUN_SI)
    masses = np.linspace(least, 0.9999 * largest, GRID)
    radii = np.array([lalsimulation.SimNeutronStarRadius(mass * lal.MSUN_SI, family) / 1e3 for mass in masses])
    return EquationOfState(name, float(largest), masses, GEOMETRIC_KM * masses / radii)


def innermost_stable_orbit(spin: Any) -> Any:
    """Return the radius of the innermost stable circular orbit of a Kerr black hole, in units of G M / c^2.

    Parameters
    ----------
    spin : float or array
        Dimensionless spin along the orbital angular momentum, -1 to 1.

    Notes
    -----
    Bardeen, Press and Teukolsky 1972, equation 2.21: 9 for -1, 6 for 0, 1 for 1.
    """
    import numpy as np

    spin = np.asarray(spin, dtype=float)
    first = 1 + np.cbrt(1 - spin**2) * (np.cbrt(1 + spin) + np.cbrt(1 - spin))
    second = np.sqrt(3 * spin**2 + first**2)
    return 3 + second - np.sign(spin) * np.sqrt(np.maximum((3 - first) * (3 + first + 2 * second), 0))


def remnant_fraction(ratio: Any, spin: Any, compactness: Any) -> Any:
    """Return the baryon mass left outside the black hole about 10 ms after a merger, over that of the neutron star.

    Parameters
    ----------
    ratio : float or array
        Mass of the black hole over that of the neutron star, at least 1.
    spin : float or array
        Dimensionless spin of the black hole along the orbital angular momentum, -1 to 1.
    compactness : float or array
        G M / (R c^2) of the neutron star.

    Notes
    -----
    Foucart, Hinderer and Nissanke 2018 (arXiv:1807.00011), equation 4, fitted to 75 simulations with mass ratios 1
    to 7, spins -0.5 to 0.97 and compactnesses 0.13 to 0.182. Beyond these it is an extrapolation.
    """
    import numpy as np

    ratio, compactness = np.asarray(ratio, dtype=float), np.asarray(compactness, dtype=float)
    eta = ratio / (1 + ratio) ** 2
    free = ALPHA * (1 - 2 * compactness) / np.cbrt(eta)
    swallowed = BETA * innermost_stable_orbit(spin) * compactness / eta
    return np.maximum(free - swallowed + GAMMA, 0) ** DELTA
