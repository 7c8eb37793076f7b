"""The settings of a campaign, which ``plan`` writes once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gwbatch.errors import ConfigError

VERSION = 1


class Science(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of the localization.  The defaults are those used for alerts.

    Attributes
    ----------
    f_low : float
        Hz.
    waveform : str
        A template's name, or ``auto``.
    min_distance, max_distance : float or None
        Distance limits in Mpc; None: derived from the detectors' sensitivity.
    prior_distance_power : int or None
        Power of the distance in the prior; None: 2, uniform in volume.
    cosmology : bool
        Whether the prior is uniform in comoving volume.
    f_high_truncate : float
        Fraction of the PSDs' band that is used.
    rescale_loglikelihood : float
        Factor on the log likelihood.  With the default, which is BAYESTAR's own, credible regions are deliberately
        too large.  Use 1 for P-P tests.
    contours : list of float
        Credible levels (%) of areas, distances and volumes.
    comoving_volumes : bool
        Whether volumes in the statistics are comoving.
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
        Unique identifier of the campaign.
    products : list of str
        Products to make for each event, in this order.
    plugins, plugin_folders : list of str
        Modules that declare products, and folders to import them from.
    numbered_anew : bool
        Whether the campaign numbers the events itself, because the files' coinc_event_ids were negative or not unique.
    """

    key: str
    products: list[str]
    science: Science = Science()
    plugins: list[str] = []
    plugin_folders: list[str] = []
    numbered_anew: bool = False
    version: int = VERSION


def science_from(settings: Iterable[str]) -> Science:
    """Return the defaults overridden by ``NAME=VALUE`` settings.

    Raises
    ------
    ConfigError
        If a name is unknown or a value is invalid.
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
        raise ConfigError(f"Cannot use these settings: {error}. Choose from {known}.") from error
    if not all(0 < level < 100 for level in science.contours):
        raise ConfigError("Cannot use contours: each must be a percentage between 0 and 100.")
    return science
