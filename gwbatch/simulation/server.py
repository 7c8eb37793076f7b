"""The sandbox's GraceDB in a thread of this process, without its broker."""

from __future__ import annotations

import threading
from pathlib import Path

import uvicorn

from gwbatch.config.profile import GraceDBSettings
from gwbatch.gracedb import make_client
from gwbatch.sandbox.routes import make_app
from gwbatch.sandbox.server import HOST, listen, register_versions
from gwbatch.sandbox.store import Store


class Server:
    """The sandbox's GraceDB on a free port; its alerts stay in the outbox of its `store`."""

    def __init__(self, folder: Path) -> None:
        register_versions()
        self.store = Store(folder / "sandbox.sqlite")
        listening = listen(0)
        self.url = f"http://{HOST}:{listening.getsockname()[1]}/api/"
        config = uvicorn.Config(make_app(self.store, None), log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        self.settings = GraceDBSettings(self.url, "none")
        self.client = make_client(self.settings)

    def stop(self) -> None:
        """Stop the server and close its store."""
        self._server.should_exit = True
        self._thread.join(10)
        self.store.close()
