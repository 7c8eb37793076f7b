"""The API's root document, from which the client learns every address."""

from __future__ import annotations

from typing import Any

from gwbatch.sandbox import vocabulary as words

_EVENT = "events/{graceid}"
_SUPEREVENT = "superevents/{superevent_id}"

_TEMPLATES = {
    "event-detail-template": _EVENT,
    "event-log-template": f"{_EVENT}/log/",
    "event-log-detail-template": f"{_EVENT}/log/{{N}}",
    "event-label-template": f"{_EVENT}/labels/{{label}}",
    "files-template": f"{_EVENT}/files/{{filename}}",
    "tag-template": f"{_EVENT}/log/{{N}}/tag/{{tag_name}}",
    "taglist-template": f"{_EVENT}/log/{{N}}/tag/",
    "voevent-list-template": f"{_EVENT}/voevent/",
    "voevent-detail-template": f"{_EVENT}/voevent/{{N}}",
    "emobservation-list-template": f"{_EVENT}/emobservation/",
    "emobservation-detail-template": f"{_EVENT}/emobservation/{{N}}",
    "update-grbevent-template": f"{_EVENT}/update-grbevent/",
    "event-reserve-template": "events/reserve/",
    "event-upload-template": f"{_EVENT}/upload/",
    "superevent-detail-template": f"{_SUPEREVENT}/",
    "superevent-event-list-template": f"{_SUPEREVENT}/events/",
    "superevent-event-detail-template": f"{_SUPEREVENT}/events/{{graceid}}/",
    "superevent-pipeline-preferred-event-list-template": f"{_SUPEREVENT}/pipeline_preferred_events/",
    "superevent-pipeline-preferred-event-detail-template": f"{_SUPEREVENT}/pipeline_preferred_events/{{graceid}}/",
    "superevent-label-list-template": f"{_SUPEREVENT}/labels/",
    "superevent-label-detail-template": f"{_SUPEREVENT}/labels/{{label_name}}/",
    "superevent-log-list-template": f"{_SUPEREVENT}/logs/",
    "superevent-log-detail-template": f"{_SUPEREVENT}/logs/{{N}}/",
    "superevent-log-tag-list-template": f"{_SUPEREVENT}/logs/{{N}}/tags/",
    "superevent-log-tag-detail-template": f"{_SUPEREVENT}/logs/{{N}}/tags/{{tag_name}}/",
    "superevent-file-list-template": f"{_SUPEREVENT}/files/",
    "superevent-file-detail-template": f"{_SUPEREVENT}/files/{{file_name}}",
    "superevent-voevent-list-template": f"{_SUPEREVENT}/voevents/",
    "superevent-voevent-detail-template": f"{_SUPEREVENT}/voevents/{{N}}/",
    "superevent-notice-list-template": f"{_SUPEREVENT}/notices/",
    "superevent-notice-detail-template": f"{_SUPEREVENT}/notices/{{N}}/",
    "superevent-emobservation-list-template": f"{_SUPEREVENT}/emobservations/",
    "superevent-emobservation-detail-template": f"{_SUPEREVENT}/emobservations/{{N}}/",
    "superevent-confirm-as-gw-template": f"{_SUPEREVENT}/confirm-as-gw/",
    "superevent-signoff-list-template": f"{_SUPEREVENT}/signoffs/",
    "superevent-signoff-detail-template": f"{_SUPEREVENT}/signoffs/{{typeinst}}/",
    "superevent-permission-list-template": f"{_SUPEREVENT}/permissions/",
    "superevent-permission-modify-template": f"{_SUPEREVENT}/permissions/modify/",
}

VERSIONS = ["default", "v1", "v2"]


def root_document(base: str) -> dict[str, Any]:
    """Return the root document for a client that uses the address `base` (with a trailing slash)."""
    return {
        "links": {
            "events": f"{base}events/",
            "superevents": f"{base}superevents/",
            "self": base,
            "performance": f"{base}performance/",
            "user-info": f"{base}user-info/",
        },
        "templates": {name: base + path for name, path in _TEMPLATES.items()},
        "groups": words.GROUPS,
        "pipelines": words.PIPELINES,
        "searches": words.SEARCHES,
        "labels": sorted(set(words.LABELS)),
        "superevent-categories": words.CATEGORIES,
        "signoff-types": words.SIGNOFF_TYPES,
        "signoff-statuses": words.SIGNOFF_STATUSES,
        "instruments": words.INSTRUMENTS,
        "voevent-types": words.VOEVENT_TYPES,
        "api-versions": VERSIONS,
        "API_VERSIONS": VERSIONS,
        "api-default": "v2",
        "server-version": "2.36.0-gwbatch-sandbox",
    }
