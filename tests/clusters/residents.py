"""Helpers that observe a deployment from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from gwbatch.console.access import OWN_TOKEN


def _told(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "gwbatch", *arguments], capture_output=True, text=True, check=False)
    return dict(json.loads(done.stdout)) if done.stdout else {}


def states(state: Path) -> dict[str, str]:
    """Return the state of each resident process by role."""
    told = _told("deploy", "status", "--json", "--state", str(state))
    return {one["role"]: one["state"] for one in told.get("residents", [])}


def fetch(address: str, state: Path) -> str:
    """Fetch a page with the console's token, and return its text, or an empty string if that fails."""
    try:
        token = (state / OWN_TOKEN).read_text().strip()
        request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def pid(state: Path) -> int:
    """Return the running dispatcher's process id from the ledger, or 0."""
    found = _told("status", "--json", "--state", str(state)).get("dispatcher", {"running": False})
    return int(found["pid"]) if found["running"] else 0
