"""Properties of alerts: events give valid notices or refusals, and any order of labels an allowed order of notices."""

from __future__ import annotations

import io
import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastavro
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gwbatch.alerts import KINDS, Contents, Seen, kind_named, refusal
from gwbatch.alerts.encoding import check, encode_avro, encode_json, smaller, with_maps
from gwbatch.alerts.judgement import SeenExternal
from gwbatch.alerts.products import read_mchirp_source, read_probabilities
from gwbatch.alerts.record import build
from gwbatch.config.alerts import AlertSettings, BrokerSettings
from gwbatch.config.policy import load_policy
from gwbatch.errors import BadInput
from gwbatch.executors.notices.comparing import differing, read_notice
from gwbatch.executors.notices.rapidpe import with_terrestrial
from gwbatch.superevents import Superevent, parse_event

POLICY = load_policy()
NUMBERS = st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3), st.booleans())
FRACTIONS = st.floats(0, 1)
MAPS = st.one_of(st.none(), st.binary(min_size=20, max_size=200))
BURSTS = st.fixed_dictionaries({"duration": NUMBERS, "central_freq": NUMBERS})
TRIGGERS = st.one_of(st.integers(0, 2**40).map(str), st.sampled_from(["sb27030405", "", "²", "0017", "1" * 60]))
EVENTS = st.fixed_dictionaries(
    {
        "graceid": st.just("G1"),
        "group": st.sampled_from(["CBC", "Burst", "Test", "External"]),
        "pipeline": st.sampled_from(["gstlal", "CWB", "MLy", "aframe", "oLIB", "nobody's"]),
        "search": st.sampled_from(["AllSky", "BBH", "SSM", "MDC", "EarlyWarning", ""]),
        "gpstime": st.floats(1e8, 3e9),
        "far": st.one_of(st.none(), st.floats(0, 1)),
        "instruments": st.one_of(st.none(), st.sampled_from(["H1,L1", " V1 ,H1,", ""])),
        "labels": st.lists(st.sampled_from(["INJ", "DQV", "RAVEN_ALERT", "EMBRIGHT_READY"]), max_size=3),
        "offline": st.booleans(),
        "extra_attributes": st.one_of(
            st.none(),
            st.fixed_dictionaries(
                {"MultiBurst": st.fixed_dictionaries({"duration": NUMBERS, "central_freq": NUMBERS})}
            ),
            st.fixed_dictionaries({"MLyBurst": st.one_of(st.none(), st.lists(NUMBERS, max_size=1))}),
        ),
    }
)
EXTERNALS = st.one_of(
    st.none(),
    st.builds(
        SeenExternal,
        observatory=st.sampled_from(["Fermi", "Swift"]),
        search=st.sampled_from(["GRB", "SubGRBTargeted"]),
        trigger_id=st.one_of(
            st.integers(0, 2**40).map(str), st.sampled_from(["sb27030405", "", "²", "0017", "1" * 60])
        ),
        ivorn=st.text(max_size=20),
        time=st.floats(1e8, 3e9),
        far_time=st.one_of(st.none(), st.floats()),
        far_spacetime=st.one_of(st.none(), st.floats()),
        combined=st.none(),
    ),
)
CONTENTS = st.builds(
    Contents,
    skymap=MAPS,
    combined_skymap=MAPS,
    properties=st.one_of(st.none(), st.dictionaries(st.sampled_from(["HasNS", "HasRemnant"]), FRACTIONS)),
    classification=st.one_of(st.none(), st.dictionaries(st.sampled_from(["BNS", "Terrestrial"]), FRACTIONS)),
    mchirp_source=st.one_of(st.none(), st.just({"bin_edges": [1.0, 2.0], "probabilities": [1.0]})),
)


def seen_of(data: dict[str, Any], external: SeenExternal | None) -> Seen:
    event = parse_event(data)
    superevent = Superevent("S@G1", "production", 1.0, event.gpstime, 2.0, "G1", ("G1",), (), "S100101a")
    return Seen(superevent, event, data, {}, external)


@settings(max_examples=300, deadline=None)
@given(EVENTS, EXTERNALS, CONTENTS, st.sampled_from(sorted(KINDS)))
def test_any_event_gives_a_valid_notice_or_a_refusal_with_its_reason(
    data: dict[str, Any], external: SeenExternal | None, contents: Contents, kind: str
) -> None:
    from importlib.resources import files

    try:
        seen = seen_of(data, external)
    except BadInput:
        return
    reason = refusal(kind_named(kind), seen, POLICY)
    if reason is not None:
        assert reason.strip()
        return
    urls = {"gracedb": "https://gracedb.example.org/superevents/S100101a/view/"}
    try:
        record = build(kind_named(kind), seen, contents, urls, POLICY, 1.8e9)
        check(record)
    except BadInput:
        return
    schema = json.loads(files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.schema.json").read_text())
    form = json.loads(encode_json(record), parse_constant=lambda name: pytest.fail(f"{name} in the notice"))
    jsonschema.validate(form, schema)
    (avro,) = fastavro.reader(io.BytesIO(encode_avro(record)))
    assert avro == record
    assert encode_avro(record) == encode_avro(record)
    assert read_notice(encode_avro(record)) is not None
    assert not differing(with_maps(record, len), read_notice(encode_avro(record)) or {})
    assert not differing(with_maps(record, len), read_notice(encode_json(record)) or {})
    sizes = [len(encode_json(reduced)) for reduced, _ in smaller(record)]
    assert sizes == sorted(sizes, reverse=True)
    for reduced, _ in smaller(record):
        check(reduced)


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
def test_any_file_gives_numbers_or_a_reason(content: bytes) -> None:
    for read in (read_probabilities, read_mchirp_source):
        try:
            found = read(content, "a.json")
        except BadInput:
            continue
        for value in found.values():
            assert all(math.isfinite(number) for number in (value if isinstance(value, list) else [value]))


@given(st.dictionaries(st.sampled_from(["BNS", "NSBH", "BBH", "Terrestrial"]), FRACTIONS), FRACTIONS)
def test_a_terrestrial_probability_is_kept_and_the_rest_sums_up(found: dict[str, float], terrestrial: float) -> None:
    after = with_terrestrial(found, terrestrial)
    assert after["Terrestrial"] == terrestrial
    if sum(value for name, value in found.items() if name != "Terrestrial") > 1e-300:
        assert sum(after.values()) == pytest.approx(1.0)


BROKERS = st.dictionaries(
    st.sampled_from("abc"),
    st.builds(
        BrokerSettings,
        bootstrap=st.just("kafka.example.org:9092"),
        topic=st.just("igwn.gwalert"),
        format=st.sampled_from(["avro", "json"]),
        categories=st.lists(st.sampled_from(["production", "mdc"])),
    ),
)


@given(BROKERS, st.sampled_from(["off", "mdc", "all"]), st.sampled_from(["production", "mdc", "test"]))
def test_no_category_reaches_a_topic_that_is_not_for_it(
    brokers: dict[str, BrokerSettings], mode: Any, category: str
) -> None:
    reached = AlertSettings(mode=mode, brokers=brokers).brokers_for(category)
    assert all(category in broker.categories for broker in reached.values())
    if category == "test" or mode == "off" or (mode == "mdc" and category != "mdc"):
        assert not reached


# ---- the order of notices -------------------------------------------------------------------------------------

STEPS = ["SIGNIF_LOCKED", "LOW_SIGNIF_LOCKED", "EARLY_WARNING", "ADVOK", "ADVNO", "DQV", "-DQV", "INJ", "-INJ"]
STEPS += ["-ADVOK", "-ADVNO", "ADVREQ", "DQOK", "wait 100", "wait 300"]


@contextmanager
def chain() -> Iterator[Any]:
    from tests.property.chain import Chain

    folder = Path(tempfile.mkdtemp())
    made = Chain(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_any_order_of_labels_gives_an_allowed_order_of_notices(steps: list[str]) -> None:
    with chain() as one:
        for step in steps:
            one.do(step)
        one.do("wait 300")
        one.do("wait 300")
        sent = one.sent
        assert len(one.identities) == len(set(one.identities)), "each notice goes out once"
        kinds = [kind for kind, _ in sent]
        for kind in ("less-significant", "early-warning", "preliminary", "second-preliminary"):
            assert kinds.count(kind) <= 1
        for first, second in (
            ("preliminary", "second-preliminary"), ("less-significant", "second-less-significant"),
        ):  # fmt: skip
            if second in kinds:
                assert first in kinds[: kinds.index(second)], "no second without a first"
        for kind, labels in sent:
            assert not KINDS[kind].blocked_by & labels, (kind, labels)
        assert kinds.count("retraction") == one.added["ADVNO"], "every ADVNO is told"
        assert kinds.count("initial") <= one.added["ADVOK"]
        if "INJ" not in one.added:
            assert kinds.count("initial") == one.added["ADVOK"]
        if "preliminary" in kinds:
            after = kinds[kinds.index("preliminary") :]
            assert "less-significant" not in after
            assert "early-warning" not in after
