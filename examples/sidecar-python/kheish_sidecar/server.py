"""A sidecar's own side of the protocol: `/manifest`, `/health`, `/deliver`, and its life from start to SIGTERM."""

from __future__ import annotations

import hmac
import json
import logging
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from .client import Daemon
from .credentials import Credentials
from .deliveries import Deliver, Deliveries
from .protocol import DETAIL_CHARS, RUNTIME_VERSION, read_delivery
from .settings import Settings

REQUEST_BYTES = 2 << 20
DRAIN_SECONDS = 8.0
"""The daemon kills a child ten seconds after it asked it to stop."""

log = logging.getLogger(__name__)

Status = Literal["starting", "ready", "degraded", "draining"]
Worker = Callable[[], None]


class Sidecar:
    """Answers the daemon, and keeps the bridge's own work going."""

    def __init__(
        self, settings: Settings, deliver: Deliver, *, threads: bool = True, attachments_out: bool = True
    ) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        """Set when the sidecar shall end: loops look at it, and wait with it."""
        self.daemon = Daemon(settings, self.stopping)
        self.credentials = Credentials(self.daemon)
        self._deliveries = Deliveries(deliver, self.stopping, settings.ledger)
        self._capabilities = {"attachments_in": True, "attachments_out": attachments_out, "threads": threads}
        self._health: tuple[Status, str] = ("starting", "")
        self._server = _Server(self)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return str(host), port

    def report(self, status: Literal["ready", "degraded"], detail: str = "") -> None:
        """Says how the bridge fares, from its last word with the platform."""
        if status != self._health[0]:
            log.info("%s %s", status, detail)
        self._health = (status, detail)

    def start(self) -> None:
        """Begins to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        """Ends what is under way in order, and then answers no more."""
        self.stopping.set()
        self._deliveries.drain(DRAIN_SECONDS)
        self._server.shutdown()
        self._server.server_close()

    def run(self, *workers: Worker) -> None:
        """The whole life: answers, works, and ends at SIGTERM. Call it from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.start()
        print("listening on {}:{}".format(*self.address), flush=True)
        threads = [threading.Thread(target=self._keep, args=(worker,), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        self.stopping.wait()
        self.stop()
        for thread in threads:
            thread.join(1.0)

    def _keep(self, worker: Worker) -> None:
        """A loop that failed begins again: a sidecar that hears nothing shall not look well."""
        pause = 1.0
        while not self.stopping.is_set():
            began = time.monotonic()
            try:
                worker()
            except Exception as error:
                if not self.stopping.is_set():
                    log.exception("%s failed", worker.__name__)
                    self.report("degraded", f"{type(error).__name__}: {error}")
            pause = 1.0 if time.monotonic() - began > 60 else pause
            self.stopping.wait(pause)
            pause = min(pause * 2, 60.0)

    def manifest(self) -> dict[str, Any]:
        """What the sidecar is."""
        return {**self._self(), "capabilities": self._capabilities, "experimental": False}

    def health(self) -> dict[str, Any]:
        """How it fares."""
        status, detail = ("draining", "") if self.stopping.is_set() else self._health
        return {**self._self(), "status": status, **({"detail": detail[:DETAIL_CHARS]} if detail else {})}

    def take(self, body: bytes, key: str | None) -> tuple[int, dict[str, Any], float | None]:
        """A delivery's answer: its status, its body, and the seconds to wait."""
        try:
            delivery = read_delivery(json.loads(body), key)
        except ValueError as error:
            return 400, {"error": str(error)}, None
        outcome = self._deliveries.take(delivery)
        said = {"status": outcome.status, "detail": outcome.detail[:DETAIL_CHARS]}
        return (200 if outcome.retry_after is None else 429), said, outcome.retry_after

    def is_known(self, authorization: str | None) -> bool:
        """Whether a caller has shown the shared token."""
        token = self.settings.shared_token
        expected = f"Bearer {token}".encode()
        return token is None or hmac.compare_digest((authorization or "").encode("latin-1", "replace"), expected)

    def _self(self) -> dict[str, Any]:
        return {"protocol_version": RUNTIME_VERSION, "instance_id": self.settings.instance_id}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, sidecar: Sidecar) -> None:
        host, port = sidecar.settings.address
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sidecar = sidecar
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # Without the base class's look for the host's name, which can take long.
        socketserver.TCPServer.server_bind(self)
        host, port = self.server_address[:2]
        self.server_name, self.server_port = str(host), port


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30.0
    server: _Server

    def do_GET(self) -> None:
        sidecar = self.server.sidecar
        say = {"/manifest": sidecar.manifest, "/health": sidecar.health}.get(self._call())
        self._answer(200, say()) if say else self._answer(404, {"error": "there is nothing here"})

    def do_POST(self) -> None:
        sidecar, length = self.server.sidecar, self.headers.get("content-length", "")
        if not sidecar.is_known(self.headers.get("authorization")):
            self._refuse(401, "the shared token is missing or wrong")
        elif self._call() != "/deliver":
            self._refuse(404, "there is nothing here")
        elif not (length.isascii() and length.isdigit()):
            self._refuse(411, "the request does not say how long it is")
        elif int(length) > REQUEST_BYTES:
            self._refuse(413, f"the request is longer than {REQUEST_BYTES} bytes")
        else:
            self._answer(*sidecar.take(self.rfile.read(int(length)), self.headers.get("idempotency-key")))

    def _call(self) -> str:
        base = self.server.sidecar.settings.base_path
        return self.path.removeprefix(base) if self.path.startswith(base) else ""

    def _refuse(self, status: int, sentence: str) -> None:
        """Of a refused request the body stays unread, so the connection ends."""
        self.close_connection = True
        self._answer(status, {"error": sentence})

    def _answer(self, status: int, said: dict[str, Any], retry_after: float | None = None) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if retry_after is not None:
            self.send_header("retry-after", str(max(1, round(retry_after))))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Requests are the daemon's to log."""
