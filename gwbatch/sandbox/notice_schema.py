"""Validation of uploaded notices against the public alert schema (igwn-gwalert-schema)."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema


@cache
def _validator() -> Any:
    schema = json.loads(files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.schema.json").read_text())
    return jsonschema.validators.validator_for(schema)(schema)


def schema_error(notice: Any) -> str | None:
    """Return what is wrong with a notice and where, or None if it is valid."""
    found = jsonschema.exceptions.best_match(_validator().iter_errors(notice))
    return None if found is None else f"{found.json_path}: {found.message[:300]}"
