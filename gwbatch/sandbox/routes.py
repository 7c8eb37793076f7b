"""The HTTP API: every address and method that the client may use, as a thin layer over the rules."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from gwbatch.sandbox import events, superevents
from gwbatch.sandbox.annotations import LoggedObject
from gwbatch.sandbox.broker import Broker
from gwbatch.sandbox.notice_schema import schema_error
from gwbatch.sandbox.query import search
from gwbatch.sandbox.root import root_document
from gwbatch.sandbox.store import USER, ApiError, Store
from gwbatch.sandbox.vocabulary import VOEVENT_TYPES

GONE = "This functionality has been deprecated and will not be re-implemented on GraceDB"
PAGE = 100
MAX_UPLOAD = 200 * 2**20


class ApiRequest:
    """One request, inside a transaction: its path parameters, query, form and the store."""

    def __init__(self, request: Request, store: Store, form: FormData, base: str) -> None:
        self.store = store
        self.base = base
        self.path = request.path_params
        self.query = request.query_params
        self.form = form

    @property
    def fields(self) -> dict[str, Any]:
        """The plain form fields; for a repeated field, the last value."""
        return {name: value for name, value in self.form.multi_items() if isinstance(value, str)}

    def many(self, *names: str) -> list[str]:
        """Return all values of repeated fields."""
        return [value for name, value in self.form.multi_items() if name in names and isinstance(value, str) and value]

    def number(self, name: str, default: int) -> int:
        """Return a whole number from the query string."""
        text = self.query.get(name, "")
        if text and not (text.isascii() and text.isdigit() and len(text) < 10):
            raise ApiError(400, f"{name} must be a whole number")
        return int(text) if text else default

    def annotated(self) -> LoggedObject:
        """Return the event or superevent in the address."""
        if "superevent_id" in self.path:
            return LoggedObject.load(self.store, self.base, "superevent", self.path["superevent_id"])
        return LoggedObject.load(self.store, self.base, "event", self.path["graceid"])

    def uploaded(self, *names: str) -> tuple[str, bytes] | None:
        """Return the uploaded file, if any."""
        for name in names:
            part = self.form.get(name)
            if isinstance(part, UploadFile):
                return part.filename or "", part.file.read()
        return None

    def require_upload(self, *names: str) -> tuple[str, bytes]:
        """Return the uploaded file, or raise a 400 error if there is none."""
        upload = self.uploaded(*names)
        if upload is None:
            raise ApiError(400, f"No file in the field {names[0]}")
        return upload


Answer = Callable[[ApiRequest], Any]


def make_app(store: Store, broker: Broker | None) -> Starlette:
    """Return the server's application; without a broker the alerts stay in the outbox."""

    def endpoint(answers: dict[str, Answer]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            prefix = f"/api/{request.path_params['version']}/" if "version" in request.path_params else "/api/"
            base = f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}{prefix}"
            if int(request.headers.get("content-length") or 0) > MAX_UPLOAD:
                return _error(413, "Request too large")
            answer = answers.get("GET" if request.method == "HEAD" else request.method)
            if answer is None:
                return _error(405, f'Method "{request.method}" not allowed.')
            try:
                form = await request.form(max_part_size=MAX_UPLOAD) if request.method != "GET" else FormData()
                with store.transaction():
                    reply = answer(ApiRequest(request, store, form, base))
            except ApiError as refused:
                return _error(refused.status, refused.message)
            if broker is not None:
                broker.publish(store)
            return reply if isinstance(reply, Response) else JSONResponse(reply)

        return serve

    def routes() -> list[BaseRoute]:
        return [
            Route(path, endpoint(answers), methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
            for stem, answers in _ADDRESSES.items()
            for path in _with_and_without_slash(stem)
        ]

    return Starlette(routes=[Mount("/api/{version:version}", routes=routes()), Mount("/api", routes=routes())])


def _with_and_without_slash(path: str) -> list[str]:
    return [path] if path == "/" or "{filename" in path else [path, f"{path}/"]


def _error(status: int, message: str) -> Response:
    # GraceDB puts a space after separators and no newline at the end, and some clients compare bytes.
    return Response(json.dumps({"error": message}), status, media_type="application/json")


def _created(value: Any, location: str = "") -> Response:
    return JSONResponse(value, 201, {"Location": location} if location else None)


def _empty(_value: Any = None) -> Response:
    return Response(status_code=204)


def _gone(_call: ApiRequest) -> Response:
    return _error(410, GONE)


# ---- root ---------------------------------------------------------------------------------------------------


def _user(_call: ApiRequest) -> Any:
    return {"username": USER, "auth_type": "none", "groups": []}


# ---- events -------------------------------------------------------------------------------------------------


def _create_event(call: ApiRequest) -> Response:
    event = events.create(
        call.store, call.base, call.fields, call.many("labels", "label"), call.require_upload("eventFile")
    )
    return _created(event, event["links"]["self"])


def _search(kind: str) -> Answer:
    def answer(call: ApiRequest) -> Any:
        describe = events.describe if kind == "event" else superevents.describe
        name = "graceid" if kind == "event" else "superevent_id"
        everything = [describe(call.store, call.base, data[name]) for data in call.store.all(kind)]
        found = search(kind, call.query.get("query", ""), everything)
        start, count = call.number("start", 0), call.number("count", PAGE)
        found = _sorted(found, call.query.get("sort", ""))
        here = f"{call.base}{kind}s/"
        links = {"self": here, "first": here, "last": here, "next": None}
        if start + count < len(found) and count:
            following = {**dict(call.query), "start": start + count, "count": count}
            links["next"] = f"{here}?{urlencode(following)}"
        return {"numRows": len(found), f"{kind}s": found[start : start + count], "links": links}

    return answer


def _sorted(found: list[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """Sort by a field, in descending order after a minus sign; objects without the field come last."""
    field = order.lstrip("-")
    if not field:
        return found
    having = [one for one in found if isinstance(one.get(field), int | float | str)]
    having.sort(key=lambda one: (isinstance(one[field], str), one[field]), reverse=order.startswith("-"))
    return having + [one for one in found if one not in having]


def _reserve(call: ApiRequest) -> Response:
    return _created(events.reserve(call.store, call.base, call.fields))


def _fill_reserved(call: ApiRequest) -> Response:
    return _created(
        events.fill_reserved(
            call.store, call.base, call.path["graceid"], call.many("labels"), call.require_upload("eventFile")
        )
    )


def _replace_event(call: ApiRequest) -> Response:
    return JSONResponse(
        events.replace(call.store, call.base, call.path["graceid"], call.require_upload("eventFile")), 202
    )


# ---- superevents --------------------------------------------------------------------------------------------


def _create_superevent(call: ApiRequest) -> Response:
    made = superevents.create(call.store, call.base, call.fields, call.many("events"), call.many("labels"))
    return _created(made, made["links"]["self"])


def _members(call: ApiRequest) -> Any:
    found = superevents.describe(call.store, call.base, call.path["superevent_id"])
    return {
        "events": [
            events.describe(call.store, call.base, graceid) for graceid in found["gw_events"] + found["em_events"]
        ]
    }


def _remove_event(call: ApiRequest) -> Response:
    superevents.remove_event(call.store, call.base, call.path["superevent_id"], call.path["graceid"])
    return _empty()


def _remove_pipeline_preferred(call: ApiRequest) -> Response:
    superevents.remove_pipeline_preferred(call.store, call.path["superevent_id"], call.path["graceid"])
    return _empty()


def _permissions(call: ApiRequest) -> Any:
    public = superevents.load(call.store, call.path["superevent_id"])["public"]
    groups = [("public_users", "view"), ("lvem_observers", "view"), ("lvem_observers", "annotate")] if public else []
    return [{"group": group, "permission": f"{permission}_superevent"} for group, permission in groups]


def _modify_permissions(call: ApiRequest) -> Any:
    superevent = superevents.load(call.store, call.path["superevent_id"])
    superevent["public"] = call.fields.get("action") == "expose"
    call.store.put("superevent", superevent["superevent_id"], superevent)
    permissions = _permissions(call)
    call.annotated().announce("exposed" if superevent["public"] else "hidden", permissions)
    return permissions


# ---- signoffs and notices -----------------------------------------------------------------------------------


def _signoff(call: ApiRequest) -> dict[str, Any]:
    wanted = call.path["typeinst"]
    for record in call.store.records(call.annotated().identifier, "signoff"):
        if record["signoff_type"] + record["instrument"] == wanted:
            return record
    raise ApiError(404, f"No signoff {wanted}")


def _create_signoff(call: ApiRequest) -> Response:
    target, fields = call.annotated(), call.fields
    kind, instrument, status = (
        fields.get("signoff_type", ""),
        fields.get("instrument", ""),
        fields.get("status", ""),
    )
    if kind not in ("ADV", "OP") or status not in ("OK", "NO"):
        raise ApiError(400, "signoff_type must be ADV or OP, status OK or NO")
    stem = "ADV" if kind == "ADV" else instrument
    if any(
        known["signoff_type"] + known["instrument"] == kind + instrument
        for known in call.store.records(target.identifier, "signoff")
    ):
        who = "advocate" if kind == "ADV" else instrument
        raise ApiError(400, f"{kind} signoff for {who} already exists on superevent {target.identifier}")
    request = "ADVREQ" if kind == "ADV" else f"{instrument}OPS"
    if request not in [label["name"] for label in target.labels()]:
        raise ApiError(400, f"No signoff was requested: the label {request} is missing")
    record = call.store.add_record(
        target.identifier,
        "signoff",
        {
            "signoff_type": kind,
            "instrument": instrument,
            "comment": fields.get("comment", ""),
            "status": status,
            "submitter": USER,
        },
    )
    target.remove_label(request)
    if f"{stem}{status}" not in [label["name"] for label in target.labels()]:
        target.add_label(f"{stem}{status}", by_signoff=True)
    target.announce("signoff_created", record)
    return _created({"self": f"{target.own}signoffs/{kind}{instrument}/", **record})


def _update_signoff(call: ApiRequest) -> Any:
    target, record = call.annotated(), _signoff(call)
    stem = "ADV" if record["signoff_type"] == "ADV" else record["instrument"]
    before = record["status"]
    record |= {name: value for name, value in call.fields.items() if name in ("comment", "status")}
    call.store.put_record(target.identifier, "signoff", record)
    if record["status"] != before:
        target.remove_label(f"{stem}{before}")
        target.add_label(f"{stem}{record['status']}", by_signoff=True)
    target.announce("signoff_updated", record)
    return record


def _delete_signoff(call: ApiRequest) -> Response:
    target, record = call.annotated(), _signoff(call)
    stem = "ADV" if record["signoff_type"] == "ADV" else record["instrument"]
    call.store.remove_record(target.identifier, "signoff", record["N"])
    target.remove_label(f"{stem}{record['status']}")
    target.add_label("ADVREQ" if stem == "ADV" else f"{stem}OPS")
    target.announce("signoff_deleted", record)
    return _empty()


def _create_notice(call: ApiRequest) -> Response:
    target = call.annotated()
    name, content = call.require_upload("upload")
    try:
        notice = json.loads(content)
        alert_type = notice["alert_type"]
        code = next(code for code, long in VOEVENT_TYPES.items() if long == alert_type.lower())
    except (ValueError, KeyError, StopIteration, AttributeError, TypeError) as error:
        raise ApiError(400, f"{name} is not a valid notice") from error
    wrong = schema_error(notice)
    if wrong is not None:
        raise ApiError(400, f"{name} is not a valid notice: {wrong}")
    if notice.get("superevent_id") != target.identifier:
        raise ApiError(400, f"The notice is about {notice.get('superevent_id')}, not {target.identifier}")
    event = notice.get("event") or {}
    probabilities = {**(event.get("classification") or {}), **(event.get("properties") or {})}
    names = {
        "prob_bns": "BNS", "prob_nsbh": "NSBH", "prob_bbh": "BBH", "prob_terrestrial": "Terrestrial",
        "prob_has_ns": "HasNS", "prob_has_remnant": "HasRemnant", "prob_has_mass_gap": "HasMassGap",
    }  # fmt: skip
    number = len(call.store.records(target.identifier, "notice")) + 1
    filename = f"{target.identifier}-{number}-{VOEVENT_TYPES[code]}.json"
    version = target.add_log(f"Notice {VOEVENT_TYPES[code]}", ["em_follow"], (filename, content), [])["file_version"]
    record = {
        "notice_type": code,
        "filename": filename,
        "file_version": version,
        "issuer": USER,
        **{field: probabilities.get(key) for field, key in names.items()},
    }
    return _created(call.store.add_record(target.identifier, "notice", record))


def _notice(call: ApiRequest) -> Any:
    records = call.store.records(call.annotated().identifier, "notice")
    if "N" not in call.path:
        return {"numRows": len(records), "notices": records}
    found = next((record for record in records if record["N"] == call.path["N"]), None)
    if found is None:
        raise ApiError(404, f"No notice {call.path['N']}")
    return found


# ---- labels, logs, tags, files: alike for events and superevents ----------------------------------------------


def _put_label(call: ApiRequest) -> Response:
    new, _ = call.annotated().add_label(call.path["label"])
    return JSONResponse({}, 201 if new else 200)


def _add_log(call: ApiRequest) -> Response:
    comment = call.fields.get("comment", "")
    entry = call.annotated().add_log(
        comment, call.many("tagname"), call.uploaded("upload"), call.many("label", "labels")
    )
    return _created(entry, entry["self"])


def _logs(call: ApiRequest) -> Any:
    entries = call.annotated().logs()
    return {"start": 0, "numRows": len(entries), "links": {}, "log": entries, "logs": entries}


def _tags(call: ApiRequest) -> Any:
    entry = call.annotated().log(call.path["N"])
    return {
        "tags": [{"name": name, "displayName": name, "self": f"{entry['tags']}{name}"} for name in entry["tag_names"]]
    }


def _file(call: ApiRequest) -> Response:
    return Response(call.annotated().file(call.path["filename"]), media_type="application/octet-stream")


def _annotations(stem: str, logs: str, tags: str) -> dict[str, dict[str, Answer]]:
    return {
        f"{stem}/labels": {
            "GET": lambda call: {"labels": call.annotated().labels(), "links": []},
            "POST": lambda call: _created(call.annotated().add_label(call.fields.get("name", ""))[1]),
        },
        f"{stem}/labels/{{label}}": {
            "GET": lambda call: call.annotated().label(call.path["label"]),
            "PUT": _put_label,
            "DELETE": lambda call: _empty(call.annotated().remove_label(call.path["label"])),
        },
        f"{stem}/{logs}": {"GET": _logs, "POST": _add_log},
        f"{stem}/{logs}/{{N:int}}": {"GET": lambda call: call.annotated().log(call.path["N"])},
        f"{stem}/{logs}/{{N:int}}/{tags}": {
            "GET": _tags,
            "POST": lambda call: _created(call.annotated().add_tag(call.path["N"], call.fields.get("name", ""))),
        },
        f"{stem}/{logs}/{{N:int}}/{tags}/{{tag}}": {
            "GET": _tags,
            "PUT": lambda call: _created(call.annotated().add_tag(call.path["N"], call.path["tag"])),
            "DELETE": lambda call: _empty(call.annotated().remove_tag(call.path["N"], call.path["tag"])),
        },
        f"{stem}/files": {"GET": lambda call: {"files": call.annotated().files(), "links": {}}},
        f"{stem}/files/": {"GET": lambda call: {"files": call.annotated().files(), "links": {}}},
        f"{stem}/files/{{filename:path}}": {"GET": _file},
        f"{stem}/emobservation{'s' if stem.startswith('/super') else ''}": {"GET": _gone, "POST": _gone},
        f"{stem}/emobservation{'s' if stem.startswith('/super') else ''}/{{N:int}}": {"GET": _gone},
    }


_EVENT = "/events/{graceid}"
_SUPEREVENT = "/superevents/{superevent_id}"

_ADDRESSES: dict[str, dict[str, Answer]] = {
    "/": {"GET": lambda call: root_document(call.base)},
    "/user-info": {"GET": _user},
    "/performance": {"GET": lambda call: {}},
    "/events": {"GET": _search("event"), "POST": _create_event},
    "/events/reserve": {"POST": _reserve},
    _EVENT: {
        "GET": lambda call: events.describe(call.store, call.base, call.path["graceid"]),
        "PUT": _replace_event,
    },
    f"{_EVENT}/upload": {"POST": _fill_reserved},
    f"{_EVENT}/voevent": {"GET": _gone, "POST": _gone},
    f"{_EVENT}/voevent/{{N:int}}": {"GET": _gone},
    f"{_EVENT}/update-grbevent": {"PATCH": _gone},
    **_annotations(_EVENT, "log", "tag"),
    "/superevents": {"GET": _search("superevent"), "POST": _create_superevent},
    _SUPEREVENT: {
        "GET": lambda call: superevents.describe(call.store, call.base, call.path["superevent_id"]),
        "PATCH": lambda call: superevents.update(call.store, call.base, call.path["superevent_id"], call.fields),
    },
    f"{_SUPEREVENT}/events": {
        "GET": _members,
        "POST": lambda call: _created(
            superevents.add_event(call.store, call.base, call.path["superevent_id"], call.fields.get("event", ""))
        ),
    },
    f"{_SUPEREVENT}/events/{{graceid}}": {
        "DELETE": _remove_event,
    },
    f"{_SUPEREVENT}/pipeline_preferred_events": {
        "POST": lambda call: _created(
            superevents.add_pipeline_preferred(
                call.store, call.base, call.path["superevent_id"], call.fields.get("event", "")
            )
        )
    },
    f"{_SUPEREVENT}/pipeline_preferred_events/{{graceid}}": {
        "DELETE": _remove_pipeline_preferred,
    },
    f"{_SUPEREVENT}/confirm-as-gw": {
        "POST": lambda call: superevents.confirm(
            call.store, call.base, call.path["superevent_id"], call.fields.get("gw_id")
        )
    },
    f"{_SUPEREVENT}/permissions": {"GET": _permissions},
    f"{_SUPEREVENT}/permissions/modify": {"POST": _modify_permissions},
    f"{_SUPEREVENT}/signoffs": {
        "GET": lambda call: {"signoffs": call.store.records(call.annotated().identifier, "signoff")},
        "POST": _create_signoff,
    },
    f"{_SUPEREVENT}/signoffs/{{typeinst}}": {
        "GET": _signoff,
        "PATCH": _update_signoff,
        "DELETE": _delete_signoff,
    },
    f"{_SUPEREVENT}/voevents": {
        "GET": lambda call: {"numRows": 0, "voevents": [], "links": {}},
        "POST": _gone,
    },
    f"{_SUPEREVENT}/notices": {"GET": _notice, "POST": _create_notice},
    f"{_SUPEREVENT}/notices/{{N:int}}": {"GET": _notice},
    **_annotations(_SUPEREVENT, "logs", "tags"),
}
