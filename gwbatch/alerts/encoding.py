"""Encoding of notices, as Avro containers for SCiMMA and as JSON for GCN, and their check against the schema."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from gwbatch.errors import BadInput

FORMATS = ("avro", "json")
SHARES = {
    1.0: "the distances in the sky map",
    0.5: "the distances and half of the pixels of the sky map",
    0.2: "the distances and four fifths of the pixels of the sky map",
}
"""The share of a sky map's pixels that ever smaller versions of a notice keep, and what each of them leaves out."""

MAPS = (("event", "skymap"), ("external_coinc", "combined_skymap"))


def encode(record: Mapping[str, Any], form: str) -> bytes:
    """Return a notice in the form ``avro`` or ``json``."""
    return encode_avro(record) if form == "avro" else encode_json(record)


def encode_json(record: Mapping[str, Any]) -> bytes:
    """Return a notice as one JSON document, its maps in base64."""
    return json.dumps(with_maps(record, _base64), allow_nan=False).encode()


def encode_avro(record: Mapping[str, Any]) -> bytes:
    """Return a notice as an Avro object container file with one record and its schema."""
    import fastavro

    buffer = io.BytesIO()
    # The marker between blocks is random by default. It is fixed here, so that a notice always has the same bytes.
    fastavro.writer(buffer, _avro_schema(), [record], codec="null", sync_marker=b"gwbatch-notice-1")
    return buffer.getvalue()


def decode_avro(content: bytes) -> dict[str, Any]:
    """Return the record of an Avro container, decoded with the schema that it contains."""
    import fastavro

    (record,) = fastavro.reader(io.BytesIO(content))
    return dict(record)


def check(record: Mapping[str, Any]) -> None:
    """Check a record, with its maps as bytes, against both schemas.

    Raises
    ------
    BadInput
        If it does not conform; the message gives the place and the reason.
    """
    import fastavro.validation
    import jsonschema

    # Maps are cut short, because only their type matters and the checks would look at every byte.
    short = with_maps(record, lambda content: content[:3])
    plain = with_maps(short, _base64)
    found = jsonschema.exceptions.best_match(_json_validator().iter_errors(plain))
    if found is not None:
        raise BadInput(
            f"Cannot send the notice: {found.json_path} does not conform to the schema: {found.message[:200]}."
        )
    try:
        fastavro.validation.validate(short, _avro_schema(), strict=True)
    except fastavro.validation.ValidationError as error:
        raise BadInput(f"Cannot send the notice: {str(error)[:300]}.") from error
    try:
        json.dumps(plain, allow_nan=False)
    except ValueError as error:
        raise BadInput("Cannot send the notice: it holds a number that is not finite.") from error


def warm_up() -> None:
    """Import the libraries and read the schemas, so that the first notice need not wait for them."""
    _json_validator()
    _avro_schema()
    import fastavro.validation  # noqa: F401


def smaller(record: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield ever smaller versions of a notice that is too large for a broker, each with what was left out.

    The combined map is dropped first, then the distances of the map, then its resolution where there is little
    probability, and finally the map itself.
    """
    external, event = record.get("external_coinc"), record.get("event")
    if external is not None and external.get("combined_skymap") is not None:
        urls = {name: url for name, url in record["urls"].items() if name != "combined_skymap"}
        record = {**record, "urls": urls, "external_coinc": {**external, "combined_skymap": None}}
        yield dict(record), "the combined sky map"
    if event is not None and event.get("skymap") is not None:
        for content, left_out in _smaller_maps(event["skymap"]):
            yield {**record, "event": {**event, "skymap": content}}, left_out
        yield {**record, "event": {**event, "skymap": None}}, "the sky maps; the notice says where to find them"


def _smaller_maps(skymap: bytes) -> Iterator[tuple[bytes, str]]:
    from gwbatch.jobs.multi_order import smaller_map

    size = len(skymap)
    for share, left_out in SHARES.items():
        try:
            content = smaller_map(skymap, share)
        except BadInput:
            return  # not a multi-order map
        if len(content) < size:
            size = len(content)
            yield content, left_out


def with_maps(record: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """Return a copy of a record with `change` applied to each of its maps."""
    copied = dict(record)
    for part, name in MAPS:
        if copied.get(part) is not None and copied[part].get(name) is not None:
            copied[part] = {**copied[part], name: change(copied[part][name])}
    return copied


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@cache
def _json_validator() -> Any:
    import jsonschema

    schema = json.loads(_schema_file("igwn.alerts.Alert.schema.json"))
    return jsonschema.validators.validator_for(schema)(schema)


@cache
def _avro_schema() -> Any:
    import fastavro

    return fastavro.parse_schema(json.loads(_schema_file("igwn.alerts.Alert.avsc")))


def _schema_file(name: str) -> str:
    return files("igwn_gwalert_schema").joinpath(name).read_text()
