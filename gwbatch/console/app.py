"""The addresses of the console.

Everything in the page is put in by its script as text, never as HTML: what comes from outside (a VOEvent, a
handler's error) cannot become markup.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gwbatch.ledger import Ledger
from gwbatch.ledger.report import report
from gwbatch.metrics.collect import exposition

STATIC = Path(__file__).parent / "static"
REFRESH = 1.0  # s between two looks at the ledger for pages that are open

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class _StrictHeaders(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.update(HEADERS)
        return response


def make_app(path: Path) -> Starlette:
    """The console over the ledger at `path`, which need not exist yet."""

    def look() -> dict[str, Any] | None:
        if not path.exists():
            return None
        ledger = Ledger(path)
        try:
            return report(ledger, time.time())
        finally:
            ledger.close()

    async def page(_: Request) -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html")

    async def status(_: Request) -> Response:
        found = await anyio.to_thread.run_sync(look)
        if found is None:
            return JSONResponse({"error": f"There is no ledger {path} yet: no dispatcher ever ran there."}, 503)
        return JSONResponse(found)

    async def metrics(_: Request) -> Response:
        def text() -> bytes:
            ledger = Ledger(path) if path.exists() else None
            try:
                return exposition(ledger, time.time())
            finally:
                if ledger is not None:
                    ledger.close()

        return Response(await anyio.to_thread.run_sync(text), media_type=CONTENT_TYPE_LATEST)

    async def events(request: Request) -> Response:
        async def changes() -> AsyncIterator[str]:
            while not await request.is_disconnected():
                found = await anyio.to_thread.run_sync(look)
                yield f"data: {json.dumps(found)}\n\n"
                await anyio.sleep(REFRESH)

        return StreamingResponse(changes(), media_type="text/event-stream")

    return Starlette(
        routes=[
            Route("/", page),
            Route("/status.json", status),
            Route("/metrics", metrics),
            Route("/events", events),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(_StrictHeaders)],
    )
