"""Who may look: this machine; with a token, or through a reverse proxy that names its user, others too."""

from __future__ import annotations

import hashlib
import hmac
import stat
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gwbatch.config.profile import ConsoleSettings
from gwbatch.errors import ConfigError

COOKIE = "gwbatch-console"
LONGEST_FORM = 4096  # bytes
WRONG_TOKEN = 0.5  # s that a wrong guess costs
SHORTEST = 16  # characters of a token

_FORM = b"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>gwbatch: enter</title>
<link rel="stylesheet" href="/static/console.css"></head><body><main><h1>gwbatch</h1>
<form method="post" action="/enter"><p><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required></p>
<p><button>Enter</button></p></form></main></body></html>"""

Next = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Access:
    """The rule of one console.

    Attributes
    ----------
    token : str
        Empty: none is asked for.
    """

    token: str
    user_header: str
    proxies: frozenset[str]

    @property
    def open_to_others(self) -> bool:
        """Whether anybody elsewhere can be let in."""
        return bool(self.token or self.user_header)

    async def check(self, request: Request, call_next: Next) -> Response:
        """Answer the request, or ask who it is."""
        path = request.scope["path"]  # request.url is put together from the Host header, which anybody may write
        if not self.open_to_others:
            # Another name than this machine's own comes from a page that wants to read what its visitor may see.
            if _is_local(request.headers.get("host", "")):
                return await call_next(request)
            return Response("Open it as http://127.0.0.1 or localhost.", 421, media_type="text/plain")
        if path == "/static/console.css":
            return await call_next(request)
        if path == "/enter" and request.method == "POST" and self.token:
            return await self._enter(request)
        if self._let_in(request):
            return await call_next(request)
        if self.token:
            return Response(_FORM, 401, media_type="text/html")
        return Response("Only through the reverse proxy.", 403, media_type="text/plain")

    def _let_in(self, request: Request) -> bool:
        host = request.client.host if request.client else ""
        if self.user_header and host in self.proxies and request.headers.get(self.user_header, "").strip():
            return True
        if not self.token:
            return False
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        cookie = request.cookies.get(COOKIE, "")
        return _same(bearer, self.token) or _same(cookie, self._proof)

    @property
    def _proof(self) -> str:
        """What the cookie holds: shows that the token was known, without being it."""
        return hmac.new(self.token.encode(), b"gwbatch console", hashlib.sha256).hexdigest()

    async def _enter(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= LONGEST_FORM):
            return Response("Too much.", 413, media_type="text/plain")
        body = parse_qs((await request.body()).decode(errors="replace"))
        given = body.get("token", [""])[0]
        if not _same(given, self.token):
            await anyio.sleep(WRONG_TOKEN)
            return Response(_FORM, 401, media_type="text/html")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, self._proof, httponly=True, samesite="strict", secure=request.url.scheme == "https")
        return answer


def access_of(settings: ConsoleSettings) -> Access:
    """The rule that a profile asks for.

    Raises
    ------
    ConfigError
        When the token cannot be read, is too short, or could be read by others.
    """
    token = ""
    if settings.token_file:
        path = Path(settings.token_file).expanduser()
        try:
            token, mode = path.read_text().strip(), path.stat().st_mode
        except OSError as error:
            raise ConfigError(f"The console's token cannot be read from {path}: {error.strerror}.") from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"Others can read the console's token: chmod 600 {path}")
        if len(token) < SHORTEST:
            raise ConfigError(f"The console's token in {path} is too short: at least {SHORTEST} characters.")
    return Access(token, settings.user_header, frozenset(settings.proxies))


def _is_local(host: str) -> bool:
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name in ("127.0.0.1", "localhost", "::1")


def _same(one: str, two: str) -> bool:
    return hmac.compare_digest(one.encode(), two.encode())
