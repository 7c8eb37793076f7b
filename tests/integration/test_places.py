"""Plug-ins that add a mission, or a plot for every superevent, in one file and without any other change."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from gwbatch import annotation, external, job
from gwbatch.annotation import Product, Scope
from gwbatch.annotation.graph import MAP
from gwbatch.config.policy import Policy, load_policy
from gwbatch.config.profile import Profile
from gwbatch.dispatcher.replay import replay
from gwbatch.errors import ConfigError
from gwbatch.external import Mission, NoticeKind
from gwbatch.jobs.catalogue import Work
from gwbatch.orchestrator import load_handlers
from tests import alerts
from tests.declared import undone
from tests.integration.harness import Harness
from tests.notices import voevent

KONUS = Mission("Konus", ("konus-wind",), "konus", kinds=(NoticeKind("KONUS_LC", 59, 1),))
PLOT = Product("bayestar.mine.png", Scope.SUPEREVENT, "plot-mine", (MAP,), "Our own picture", urgency=10)


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    with undone():
        yield


def test_a_mission_is_one_declaration(policy: Policy) -> None:
    external.declare(KONUS)
    topics = load_handlers(policy, Profile()).topics()
    assert {"gcn.classic.voevent.KONUS_LC", "external_konus", "test_konus"} <= {*topics}
    notice = voevent("ivo://nasa.gsfc.gcn/KONUS#LC_1", Packet_Type=59, TrigID=77)
    topic, payload = "gcn.classic.voevent.KONUS_LC", base64.b64encode(notice).decode()
    event = alerts.event("G1", 1187008882.43)
    lines = [{"topic": topic, "payload_base64": payload}, {"topic": "cbc_gstlal", "payload": alerts.new(event)}]
    *_, match, end = [json.loads(one) for one in replay([json.dumps(one).encode() for one in lines], policy)]
    assert (match["action"], match["external"]) == ("coincidence", "E@Konus-77")
    assert end["external"][0]["superevent"] == "S@G1"


def read_gecam(topic: str, notice: Mapping[str, Any]) -> dict[str, Any]:
    burst = notice["burst"]
    return {"trigger_id": burst.get("number"), "time": burst["gps"], "ra": 10.0, "dec": -20.0, "radius": 1.0}


GECAM = Mission("GECAM", ("gecam",), topics=("gcn.notices.gecam",), read=read_gecam)


@pytest.mark.parametrize(
    ("burst", "reason"),
    [
        ({"number": "B9", "gps": 1187008884.0}, None),
        ({"number": "B9"}, "dead letter: Cannot read the notice: the reader of GECAM failed with KeyError: 'gps'."),
        ({"number": "B9", "gps": "soon"}, "dead letter: Cannot read the notice: the reader of GECAM failed with Type"),
        (None, "dead letter: Cannot read the notice: the reader of GECAM failed with AttributeError"),
        ({"number": "../B9", "gps": 1187008884.0}, "dead letter: Invalid notice: the trigger id is '../B9'."),
    ],
)
def test_a_mission_may_bring_its_own_reader(burst: Any, reason: str | None, policy: Policy) -> None:
    external.declare(GECAM)
    notice = {"topic": "gcn.notices.gecam", "payload": {"burst": burst}}
    event = {"topic": "cbc_gstlal", "payload": alerts.new(alerts.event("G1", 1187008882.43))}
    said = [json.loads(one) for one in replay([json.dumps(one).encode() for one in (notice, event)], policy)]
    if reason is None:
        assert said[0]["external"] == "E@GECAM-B9"
        assert said[-1]["external"][0]["superevent"] == "S@G1"
    else:
        assert said[0]["reason"].startswith(reason)


def test_a_plot_is_a_function_and_its_row(harness: Harness) -> None:
    @job(queue="general", name="plot-mine")
    def plot_mine(work: Work) -> None:
        work.output.write_bytes(b"")

    annotation.declare(PLOT)
    harness.upload()
    harness.settle()
    (superevent,) = harness.server.client.superevents()
    listed = harness.server.client.files(superevent["superevent_id"]).json()["files"]
    assert "bayestar.mine.png" in [one["filename"] for one in listed]


def test_what_is_taken_is_refused_and_the_same_again_is_not() -> None:
    for _ in range(2):  # as when a plug-in is imported twice
        external.declare(KONUS)
        annotation.declare(PLOT)
    for mission in (
        Mission("Fermi", ("another",)),
        Mission("Other", ("fermi",)),
        Mission("Other", ("other",), "fermi"),
    ):
        with pytest.raises(ConfigError, match="that of 'Fermi'"):
            external.declare(mission)
    for product in (
        Product("bayestar.png", Scope.EVENT, "other", (), ""),
        Product("other.png", Scope.SUPEREVENT, "plot-mine", (MAP,), ""),
    ):
        with pytest.raises(ConfigError, match="has its name or its job"):
            annotation.declare(product)
    annotation.declare(Product("other.png", Scope.SUPEREVENT, "plot-mine", (MAP,), "", slug="plot-other"))


def test_a_topic_belongs_to_one_mission_and_a_plug_in_may_be_imported_anew() -> None:
    external.declare(GECAM)
    external.declare(replace(GECAM, read=lambda topic, notice: read_gecam(topic, notice)))
    with pytest.raises(ConfigError, match="that of 'GECAM'"):
        external.declare(Mission("Other", ("other",), topics=GECAM.topics, read=read_gecam))


def test_the_policy_may_name_a_plug_ins_product() -> None:
    annotation.declare(PLOT)
    settings = load_policy().annotation
    annotation.check_names(settings)
    assert PLOT.name in {product.name for product in annotation.products_of(Scope.SUPEREVENT)}
