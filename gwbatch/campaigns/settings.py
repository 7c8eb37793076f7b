"""What a campaign is to compute: written once, by ``plan``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gwbatch.errors import ConfigError

VERSION = 1


class Science(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the events are localized.  The defaults are those of alerts.

    Attributes
    ----------
    f_low : float
        Hz.
    waveform : str
        A template's name, or ``auto``.
    min_distance, max_distance : float or None
        Limits of the distance in Mpc; None: from the detectors' sensitivity.
    prior_distance_power : int or None
        Of the distance, in the prior; None: 2, uniform in volume.
    cosmology : bool
        Prior uniform in comoving volume.
    f_high_truncate : float
        Part of the PSDs' band that counts.
    rescale_loglikelihood : float
        Factor on the log likelihood: BAYESTAR's own makes its maps cover more than they say; 1 for P-P tests.
    contours : list of float
        Credible levels (%) of areas, distances and volumes.
    comoving_volumes : bool
        Volumes in the statistics are comoving ones.
    """

    f_low: float = 15.0
    waveform: str = "auto"
    min_distance: float | None = None
    max_distance: float | None = None
    prior_distance_power: int | None = None
    cosmology: bool = False
    f_high_truncate: float = 0.95
    rescale_loglikelihood: float = 0.83
    contours: list[float] = msgspec.field(default_factory=lambda: [20.0, 50.0, 90.0])
    comoving_volumes: bool = True


class CampaignSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``campaign.json``.

    Attributes
    ----------
    key : str
        Tells this campaign from every other one.
    products : list of str
        What is made of each event, in this order.
    plugins, plugin_folders : list of str
        Modules that bring products.
    numbered_anew : bool
        The files' own coinc_event_ids were not unique: events have numbers of this campaign.
    """

    key: str
    products: list[str]
    science: Science = Science()
    plugins: list[str] = []
    plugin_folders: list[str] = []
    numbered_anew: bool = False
    version: int = VERSION


def science_from(settings: Iterable[str]) -> Science:
    """Return the defaults with ``NAME=VALUE`` laid over them.

    Raises
    ------
    ConfigError
        If a name is unknown or a value has the wrong type.
    """
    values: dict[str, Any] = {}
    for text in settings:
        name, sign, value = text.partition("=")
        if not sign:
            raise ConfigError(f"Cannot read the setting {text!r}: write NAME=VALUE, e.g. f_low=20.")
        values[name.strip()] = value.split(",") if name.strip() == "contours" else value.strip()
    try:
        science = msgspec.convert(values, Science, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(Science.__struct_fields__)
        raise ConfigError(f"Cannot use these settings: {error}. Known are {known}.") from error
    if not all(0 < level < 100 for level in science.contours):
        raise ConfigError("Cannot use contours: they are percentages between 0 and 100.")
    return science
