"""The policy and the site profile that the dispatcher of a ledger decides by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from gwbatch.config.policy import Policy, policy_from
from gwbatch.config.profile import Profile
from gwbatch.errors import ConfigError
from gwbatch.ledger.database import Ledger, Transaction


def record(tx: Transaction, policy: Policy, profile: Profile, now: float) -> None:
    """Write down what a dispatcher that starts now will decide by."""
    for name, value in (("policy", policy), ("profile", profile)):
        text = json.dumps(msgspec.to_builtins(value))
        tx.execute("INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (name, text, now))


def note_waveform_data(tx: Transaction, trouble: str, now: float) -> None:
    """Write down what is wrong with the jobs' waveform data, as far as the dispatcher can see; empty if nothing is."""
    tx.execute("INSERT OR REPLACE INTO settings VALUES ('waveform_data', ?, ?)", (json.dumps(trouble), now))


def note_not_made(tx: Transaction, products: Mapping[str, str], now: float) -> None:
    """Write down the products that events wait for and the policy has nobody make, each with a sentence about it."""
    tx.execute("INSERT OR REPLACE INTO settings VALUES ('not_made', ?, ?)", (json.dumps(dict(products)), now))


def recorded_policy(ledger: Ledger) -> tuple[Policy, float] | None:
    """Return the policy of the newest dispatcher and when it started (Unix s); None if none was ever recorded.

    One that this version cannot read any more counts as none.
    """
    found = _read(ledger, "policy")
    try:
        return None if found is None else (policy_from(found[0]), found[1])
    except ConfigError:
        return None


def recorded_profile(ledger: Ledger) -> Profile | None:
    """Return the site profile of the newest dispatcher; None if none was ever recorded, or it cannot be read."""
    found = _read(ledger, "profile")
    try:
        return None if found is None else msgspec.convert(found[0], Profile)
    except msgspec.ValidationError:
        return None


def _read(ledger: Ledger, name: str) -> tuple[Any, float] | None:
    rows = ledger.read("SELECT value, recorded FROM settings WHERE name = ?", (name,))
    return (json.loads(rows[0]["value"]), rows[0]["recorded"]) if rows else None
