"""The routes of the console.

The page's scripts insert all data as text, never as HTML, so outside data (a VOEvent, a handler's error) cannot become
markup.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gwbatch.config.policy import Policy, load_policy
from gwbatch.console import lists, orders
from gwbatch.console.access import Access, NotAllowed
from gwbatch.console.campaigns import Campaigns
from gwbatch.console.live import Live, overview, plain
from gwbatch.errors import BadInput, ConfigError, GwbatchError
from gwbatch.ledger import Ledger, in_force
from gwbatch.metrics.exposition import exposition
from gwbatch.reports import alerts, detail
from gwbatch.reports.listings import LISTINGS
from gwbatch.reports.status import report

STATIC = Path(__file__).parent / "static"
LONGEST_ORDER = 10_000  # bytes

Endpoint = Callable[[Request], Awaitable[Response]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _StrictHeaders(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response


def make_app(
    path: Path, access: Access, gracedb: str = "", policy: Policy | None = None, campaigns: Sequence[Path] = ()
) -> Starlette:
    """Return the console's application for the ledger at `path`, which need not exist yet.

    Parameters
    ----------
    gracedb : str
        Address of GraceDB, for links.
    policy : Policy or None
        Policy for explaining decisions; None for the dispatcher's current one.
    campaigns : sequence of Path
        Folders of campaigns, or folders that contain such folders.
    """
    known = Campaigns(campaigns)
    standard, live = load_policy(), Live(path, known)

    def explain(ledger: Ledger, name: str) -> Any:
        recorded = in_force.recorded_policy(ledger)
        return detail.superevent(ledger, name, policy or (recorded[0] if recorded else standard), gracedb)

    def read(look: Callable[[Ledger], Any]) -> Any:
        if not path.exists():
            return None
        ledger = Ledger(path)
        try:
            return look(ledger)
        finally:
            ledger.close()

    async def answer(look: Callable[[Ledger], Any], missing: str) -> Response:
        found = plain(await anyio.to_thread.run_sync(read, look))
        if found is None:
            reason = missing if path.exists() else f"There is no ledger {path} yet: no dispatcher has run there."
            return JSONResponse({"error": reason}, 404 if path.exists() else 503)
        return JSONResponse(found)

    async def page(_: Request) -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html")

    async def status(_: Request) -> Response:
        return await answer(lambda ledger: report(ledger, time.time()), "")

    async def whole(_: Request) -> Response:
        return await answer(lambda ledger: overview(ledger, time.time(), known.briefs()), "")

    async def superevent(request: Request) -> Response:
        name = request.query_params.get("name", "")
        return await answer(lambda ledger: explain(ledger, name), "There is no such superevent.")

    async def job(request: Request) -> Response:
        key = request.query_params.get("key", "")
        return await answer(lambda ledger: detail.job(ledger, key), "There is no such job.")

    def listing(name: str) -> Endpoint:
        async def one(request: Request) -> Response:
            wanted = lists.wanted_of(request.query_params)
            return await answer(lambda ledger: lists.page(name, ledger, wanted), "")

        return one

    def export(name: str) -> Endpoint:
        async def one(request: Request) -> Response:
            wanted = lists.wanted_of(request.query_params)
            text = await anyio.to_thread.run_sync(read, lambda ledger: lists.as_csv(name, ledger, wanted))
            headers = {"Content-Disposition": f"attachment; filename={name}.csv"}
            return Response(text or "", media_type="text/csv", headers=headers)

        return one

    async def dead(request: Request) -> Response:
        name = request.query_params.get("id", "")
        return await answer(lambda ledger: detail.dead_letter(ledger, name), "There is no such dead letter.")

    async def public_notices(request: Request) -> Response:
        return await answer(lambda ledger: alerts.overview(ledger, _limit(request)), "")

    async def alert(request: Request) -> Response:
        def look(ledger: Ledger) -> dict[str, Any] | None:
            found = alerts.notice(ledger, request.query_params.get("id", ""))
            if found is None:
                return None
            orders = ["release"] if any(send["state"] == "withheld" for send in found["brokers"]) else []
            orders += ["show"]
            return {**found, "commands": [detail.command(ledger, "alerts", what, str(found["id"])) for what in orders]}

        return await answer(look, "There is no such notice.")

    async def all_campaigns(_: Request) -> Response:
        return JSONResponse(plain({"campaigns": await anyio.to_thread.run_sync(known.briefs)}))

    async def campaign(request: Request) -> Response:
        found = await anyio.to_thread.run_sync(known.one, request.query_params.get("path", ""))
        if found is None:
            return JSONResponse({"error": "There is no such campaign."}, 404)
        return JSONResponse(plain(found))

    async def may_order(_: Request) -> Response:
        return JSONResponse({"may": not access.is_open})

    async def preview(request: Request) -> Response:
        if access.is_open:
            return JSONResponse({"error": "Previews need a token because they read files from GraceDB."}, 403)
        said = {name: request.query_params.get(name, "") for name in ("superevent", "kind", "files")}
        try:
            return await answer(lambda ledger: orders.notice_now(ledger, **said, state=path.parent), "")
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, 400)

    async def order(request: Request) -> Response:
        def carry_out() -> str:
            ledger = Ledger(path)
            try:
                return orders.hand_over(ledger, json.loads(content), by, time.time())
            except ConfigError as error:
                raise BadInput(str(error)) from error
            finally:
                ledger.close()

        try:
            by, content = access.who_orders(request), await request.body()
            if len(content) > LONGEST_ORDER:
                raise BadInput("Cannot take the order: it is too long.")
            return JSONResponse({"done": await anyio.to_thread.run_sync(carry_out)})
        except NotAllowed as error:
            return JSONResponse({"error": str(error)}, 403)
        except (BadInput, ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, 400)

    async def picture(request: Request) -> Response:
        subject, name = request.query_params.get("subject", ""), request.query_params.get("name", "")
        place = await anyio.to_thread.run_sync(read, lambda ledger: detail.picture(ledger, subject, name))
        if place is None or not place.is_file():
            return JSONResponse({"error": "There is no such picture on this machine."}, 404)
        return FileResponse(place, media_type="image/png")

    async def metrics(_: Request) -> Response:
        text = await anyio.to_thread.run_sync(read, lambda ledger: exposition(ledger, time.time()))
        return Response(text or exposition(None, time.time()), media_type=CONTENT_TYPE_LATEST)

    async def events(request: Request) -> Response:
        async def changes() -> AsyncIterator[str]:
            async for number, text in live.changes():
                if await request.is_disconnected():
                    return
                yield f"id: {number}\ndata: {text}\n\n"

        return StreamingResponse(changes(), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/favicon.ico", lambda _: Response(status_code=204)),
            Route("/status.json", status),
            Route("/overview.json", whole),
            *(Route(f"/{name}.json", listing(name)) for name in LISTINGS),
            *(Route(f"/{name}.csv", export(name)) for name in LISTINGS),
            Route("/superevent.json", superevent),
            Route("/job.json", job),
            Route("/deadletter.json", dead),
            Route("/alerts.json", public_notices),
            Route("/alert.json", alert),
            Route("/campaigns.json", all_campaigns),
            Route("/campaign.json", campaign),
            Route("/order.json", may_order),
            Route("/order.json", order, methods=["POST"]),
            Route("/preview.json", preview),
            Route("/picture.png", picture),
            Route("/metrics", metrics),
            Route("/events", events),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={GwbatchError: _refused},
        middleware=[Middleware(_StrictHeaders), Middleware(BaseHTTPMiddleware, dispatch=access.check)],
    )


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 503)


def _limit(request: Request, default: int = 200) -> int:
    wanted = request.query_params.get("limit", "")
    is_number = wanted.isascii() and wanted.isdigit() and len(wanted) < 10
    return min(int(wanted), lists.MOST) if is_number else default
