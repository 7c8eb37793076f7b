"""Access to the console: by token, through a reverse proxy that names its user, or open to this machine."""

from __future__ import annotations

import getpass
import hashlib
import hmac
import secrets
import stat
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gwbatch.config.profile import ConsoleSettings
from gwbatch.errors import ConfigError
from gwbatch.private import private_file, private_folder

COOKIE = "gwbatch-console"
LONGEST_FORM = 4096  # bytes
WRONG_TOKEN = 0.5  # s of delay per guess, for everyone, after too many wrong ones
FREE_GUESSES = 20  # recent wrong guesses that cause no delay yet
FORGIVEN_AFTER = 30.0  # s after which one wrong guess is forgotten
WAITING = 8  # guesses that may wait for their turn; further ones are rejected
ORDER_HEADER = "x-gwbatch-order"
SHORTEST = 16  # characters of a token
OWN_TOKEN = "console-token"  # in the state directory

_FORM = b"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>gwbatch: log in</title>
<link rel="stylesheet" href="/static/console.css"><script src="/static/enter.js" defer></script></head>
<body><main><h1>gwbatch</h1>
<form method="post" action="/enter"><p><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required></p>
<p><button>Log in</button></p></form></main></body></html>"""
_OPEN_FILES = ("/static/console.css", "/static/enter.js")

Next = Callable[[Request], Awaitable[Response]]


class TooManyGuesses(Exception):
    """Too many guesses are waiting, so this one is rejected unchecked."""


class NotAllowed(Exception):
    """The sender of this request may not give orders."""


class Guesses:
    """Slows down guessing across all connections, by checking guesses one at a time after too many wrong ones."""

    def __init__(self) -> None:
        self._wrong: deque[float] = deque(maxlen=FREE_GUESSES)
        self._waiting = 0
        self._turn = anyio.Lock()

    async def is_right(self, look: Callable[[], bool]) -> bool:
        """Tell whether a guess is right, after a delay if too many recent guesses were wrong.

        Raises
        ------
        TooManyGuesses
            If too many guesses are waiting.
        """
        if self._recent() < FREE_GUESSES:
            return self._count(look())
        if self._waiting >= WAITING:
            raise TooManyGuesses
        self._waiting += 1
        try:
            async with self._turn:
                await anyio.sleep(WRONG_TOKEN)
                return self._count(look())
        finally:
            self._waiting -= 1

    def _recent(self) -> int:
        now = time.monotonic()
        while self._wrong and now - self._wrong[0] > FORGIVEN_AFTER:
            self._wrong.popleft()
        return len(self._wrong)

    def _count(self, right: bool) -> bool:
        if not right:
            self._wrong.append(time.monotonic())
        return right


@dataclass(frozen=True)
class Access:
    """The access rules of one console.

    Attributes
    ----------
    token : str
        Empty if the console does not accept tokens.
    cookie, proof : str
        Name and value of the cookie that a visitor gets for the right token.
    """

    token: str
    user_header: str
    proxies: frozenset[str]
    cookie: str = COOKIE
    guesses: Guesses = field(default_factory=Guesses)
    proof: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def is_open(self) -> bool:
        """Whether everybody who can reach the console may look, on loopback set to ``open`` or on a Unix socket."""
        return not (self.token or self.user_header)

    def who_orders(self, request: Request) -> str:
        """Return the name of the person who gives an order with this request.

        Another site's page cannot send such a request on a visitor's behalf. It would need a header and a content type
        that no form can send, and the browser would not send the cookie along.

        Raises
        ------
        NotAllowed
            If the request may not give orders, with the reason.
        """
        if self.is_open:
            raise NotAllowed("Cannot take orders without a token. Set console.loopback = 'token' in the site profile.")
        origin = request.headers.get("origin")
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host", "")
        plain = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        if not (ours and plain and request.headers.get(ORDER_HEADER)):
            raise NotAllowed(f"Orders must be JSON with the header {ORDER_HEADER}, from the console's page.")
        named = request.headers.get(self.user_header, "").strip() if self.user_header else ""
        return f"{named or getpass.getuser()} (console)"

    async def check(self, request: Request, call_next: Next) -> Response:
        """Pass the request on if its sender has access; otherwise answer with the login form or an error."""
        path = request.scope["path"]  # request.url is built from the Host header, which the client controls
        if self.is_open:
            # Any other host name suggests DNS rebinding: a page trying to read what its visitor may see.
            if _is_local(request.headers.get("host", "")):
                return await call_next(request)
            return Response("Open the console as http://127.0.0.1 or localhost.", 421, media_type="text/plain")
        if path in _OPEN_FILES:
            return await call_next(request)
        try:
            if path == "/enter" and request.method == "POST" and self.token:
                return await self._enter(request)
            if await self._let_in(request):
                return await call_next(request)
        except TooManyGuesses:
            return Response("Too many wrong tokens; try again in a minute.", 429, headers={"Retry-After": "60"})
        if self.token:
            return Response(_FORM, 401, media_type="text/html")
        return Response("Access is only possible through the reverse proxy.", 403, media_type="text/plain")

    async def _let_in(self, request: Request) -> bool:
        host = request.client.host if request.client else ""
        if self.user_header and host in self.proxies and request.headers.get(self.user_header, "").strip():
            return True
        if not self.token:
            return False
        if _same(request.cookies.get(self.cookie, ""), self.proof):
            return True  # not a guess: the cookie is random for each process and reveals nothing about the token
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        return bool(bearer) and await self.guesses.is_right(lambda: _same(bearer, self.token))

    async def _enter(self, request: Request) -> Response:
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= LONGEST_FORM):
            return Response("The form is too large.", 413, media_type="text/plain")
        body = parse_qs((await request.body()).decode(errors="replace"))
        given = body.get("token", [""])[0]
        if not await self.guesses.is_right(lambda: _same(given, self.token)):
            return Response(_FORM, 401, media_type="text/html")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            self.cookie, self.proof, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return answer


def access_of(settings: ConsoleSettings, state: Path | None = None) -> Access:
    """Return the access rules that a site profile sets.

    Parameters
    ----------
    state : Path or None
        The state directory, where a console without a token file creates its own token.

    Raises
    ------
    ConfigError
        If the token cannot be read, is too short, or is readable by others.
    """
    path = Path(settings.token_file).expanduser() if settings.token_file else None
    alone = settings.loopback == "token" and not settings.user_header and not settings.socket
    if path is None and state is not None and alone:
        path = _own_token(state)
    token = "" if path is None else _read_token(path)
    # Cookies ignore ports. Two consoles on one machine must not overwrite each other's.
    cookie = COOKIE if state is None else f"{COOKIE}-{hashlib.sha256(str(state).encode()).hexdigest()[:8]}"
    return Access(token, settings.user_header, frozenset(settings.proxies), cookie)


def _own_token(state: Path) -> Path:
    path = private_folder(state) / OWN_TOKEN
    if not path.exists():
        private_file(path.with_suffix(".new")).write_text(secrets.token_urlsafe(32) + "\n")
        path.with_suffix(".new").rename(path)
    return path


def _read_token(path: Path) -> str:
    try:
        token, mode = path.read_text().strip(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"Cannot read the console's token from {path}: {error.strerror}.") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"Cannot use the console's token: others can read it. Run chmod 600 {path}.")
    if len(token) < SHORTEST:
        raise ConfigError(f"Cannot use the token in {path}: it is too short. Use at least {SHORTEST} characters.")
    return token


def _is_local(host: str) -> bool:
    name = host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    return name in ("127.0.0.1", "localhost", "::1")


def _same(one: str, two: str) -> bool:
    return hmac.compare_digest(one.encode(), two.encode())
