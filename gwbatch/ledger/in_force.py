"""The policy and the site profile that are in force for the dispatcher of a ledger."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gwbatch.config.policy import Policy, policy_from
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.ledger import settings
from gwbatch.ledger.database import Ledger, Transaction
from gwbatch.plugins import import_plugins


def record(tx: Transaction, policy: Policy, profile: Profile, now: float) -> None:
    """Record the policy and site profile of a dispatcher that is starting."""
    for name, value in ((settings.POLICY, policy), (settings.PROFILE, profile)):
        settings.put(tx, name, msgspec.to_builtins(value), now)


def note_waveform_data(tx: Transaction, trouble: str, now: float) -> None:
    """Record what is wrong with the jobs' waveform data, as far as the dispatcher can see; empty if nothing is."""
    settings.put(tx, settings.WAVEFORM_DATA, trouble, now)


def note_not_made(tx: Transaction, products: Mapping[str, str], now: float) -> None:
    """Record the products that events wait for but that nothing makes under the policy, each with an explanation."""
    settings.put(tx, settings.NOT_MADE, dict(products), now)


def recorded_policy(ledger: Ledger) -> tuple[Policy, float] | None:
    """Return the policy of the newest dispatcher and when it started (Unix s); None if none was ever recorded.

    A policy that this version can no longer read counts as none.
    """
    found = settings.setting(ledger.connection, settings.POLICY)
    try:
        return None if found is None else (policy_from(found.value), found.recorded)
    except ConfigError:
        return None


def recorded_profile(ledger: Ledger) -> Profile | None:
    """Return the site profile of the newest dispatcher; None if none was ever recorded, or it cannot be read."""
    found = settings.setting(ledger.connection, settings.PROFILE)
    try:
        return None if found is None else msgspec.convert(found.value, Profile)
    except msgspec.ValidationError:
        return None


def import_recorded_plugins(ledger: Ledger) -> None:
    """Import the plug-ins of the newest dispatcher's profile.

    Raises
    ------
    ConfigError
        When one cannot be imported.
    """
    profile = recorded_profile(ledger)
    if profile is not None:
        import_plugins(profile.plugins, profile.plugin_folders)
