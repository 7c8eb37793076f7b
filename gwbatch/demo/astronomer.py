"""A simulated astronomer: a process that follows the public topics, and checks and stores every notice.

It uses no code of gwbatch. It reads Kafka, Avro, JSON and FITS with the libraries that astronomers use, and checks
every JSON notice against the public schema. ``python -m gwbatch.demo.astronomer BOOTSTRAP FOLDER TOPIC...``
"""

from __future__ import annotations

import base64
import io
import json
import signal
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

AVRO = b"Obj\x01"
LOOK_AGAIN = 0.2  # s


def follow(bootstrap: str, folder: Path, topics: list[str]) -> None:
    """Read the topics from the beginning until killed, and store every notice as a file."""
    schema = json.loads(files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "astronomer", "fetch.wait.max.ms": 10})
    places = [
        TopicPartition(topic, partition, OFFSET_BEGINNING)
        for topic in topics
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions
    ]
    consumer.assign(places)
    number = 0
    while True:
        message = consumer.poll(LOOK_AGAIN)
        if message is None or message.error() is not None:
            continue
        number += 1
        keep(message, number, folder, validator)


def keep(message: Any, number: int, folder: Path, validator: Any) -> None:
    """Store what a message says and what is wrong with it, with its sky maps as separate files."""
    notice, wrong = read(message.value(), validator)
    kind = str(notice.get("alert_type", "unreadable")).lower()
    stem = f"{number:02d}-{message.topic()}-{notice.get('superevent_id', 'nothing')}-{kind}"
    maps = {}
    for part, name in (("event", "skymap"), ("external_coinc", "combined_skymap")):
        content = (notice.get(part) or {}).get(name)
        if content is not None:
            place = folder / f"{stem}.{name}.fits"
            place.write_bytes(content)
            maps[name] = describe_map(place)
            notice[part] = {**notice[part], name: place.name}
    identity = dict(message.headers() or ()).get("_id", b"").hex()
    seen = {
        "topic": message.topic(), "partition": message.partition(), "offset": message.offset(), "_id": identity,
        "received": message.timestamp()[1] / 1000.0, "wrong": wrong, "maps": maps, "notice": notice,
    }  # fmt: skip
    temporary = folder / f".{stem}"
    temporary.write_text(json.dumps(seen, indent=1))
    temporary.replace(folder / f"{stem}.json")


def read(content: bytes, validator: Any) -> tuple[dict[str, Any], list[str]]:
    """Return a notice with its maps as bytes, and what is wrong with it."""
    try:
        if content.startswith(AVRO):
            (record,) = fastavro.reader(io.BytesIO(content))
            return dict(record), []
        notice = json.loads(content)
        wrong = [f"{error.json_path}: {error.message[:100]}" for error in validator.iter_errors(notice)]
        for part, name in (("event", "skymap"), ("external_coinc", "combined_skymap")):
            if notice.get(part) and notice[part].get(name):
                notice[part][name] = base64.b64decode(notice[part][name], validate=True)
        return notice, wrong
    except Exception as error:
        return {}, [f"cannot be read: {type(error).__name__}: {error}"]


def describe_map(path: Path) -> dict[str, Any]:
    """Return what a sky map holds: its total probability, and the area (deg²) that holds 90 % of it."""
    import numpy as np
    from astropy.io import fits

    table = fits.getdata(path)
    order = (np.log2(table["UNIQ"] / 4) // 2).astype(int)
    area = np.pi / 3 / 4.0**order
    probability = np.asarray(table["PROBDENSITY"], float) * area
    likely = np.argsort(-np.asarray(table["PROBDENSITY"], float))
    inside = np.cumsum(probability[likely]) < 0.9
    square_degrees = float(np.sum(area[likely][inside])) * (180 / np.pi) ** 2
    return {"probability": float(probability.sum()), "area_90": square_degrees}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    follow(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
