"""A stub of the daemon: its routes for sidecars, with receipts, and with failures by script."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from kheish_sidecar import Settings

TOKEN, CREDENTIAL_TOKEN = "shared-token", "credential-token"


class Daemon:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        """Those that became runs."""
        self.requests: list[tuple[str, Any]] = []
        self.failures: list[int | str] = []
        """For the next requests: a status, or `drop` for taking in what comes and saying nothing."""
        self.limit_items = 0
        """So many items of batches are told to come again."""
        self.speaks = 2
        self.files: dict[str, bytes] = {}
        self.secrets: dict[str, str] = {}
        self.lease_ms = 300_000
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.stub = self  # type: ignore[attr-defined]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def settings(self, **more: Any) -> Settings:
        """A sidecar's settings."""
        listen = ("127.0.0.1", 0)
        given = {"name": "mail", "base_url": "http://127.0.0.1:1", "daemon_base_url": self.url, "shared_token": TOKEN}
        return Settings(**{**given, "listen": listen, "instance_id": "i-1", **more})

    def close(self) -> None:
        """Ends it."""
        self.server.shutdown()
        self.server.server_close()

    def take(self, event: dict[str, Any], version: int) -> dict[str, Any]:
        """What becomes of an event."""
        if version > self.speaks:
            return {"status": "rejected", "reason": f"unsupported protocol_version {version}"}
        content = {name: value for name, value in event.items() if name not in ("occurred_at_ms", "instance_id")}
        for index, known in enumerate(self.events):
            if known["event_id"] == event["event_id"]:
                is_same = all(known.get(name) == value for name, value in content.items() if name != "protocol_version")
                answer = {"status": "duplicate"} if is_same else {"status": "rejected", "reason": "other content"}
                return {**answer, "run_id": f"run_{index}", "session_id": "s"}
        if event.get("content") == "homeless":
            return {"status": "error", "reason": "its session may not be made"}
        if event.get("content") == "poison":
            return {"status": "rejected", "reason": "a bound"}
        self.events.append(event)
        return {"status": "accepted", "run_id": f"run_{len(self.events) - 1}", "session_id": "s"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def stub(self) -> Daemon:
        return self.server.stub  # type: ignore[attr-defined, no-any-return]

    def do_GET(self) -> None:
        stub, key = self.stub, self.path.rpartition("/")[2]
        is_lease = "/credentials/" in self.path
        token = CREDENTIAL_TOKEN if is_lease else TOKEN
        stub.requests.append((self.path, None))
        if stub.failures:
            self.answer(int(stub.failures.pop(0)), {})
        elif self.headers.get("authorization") != f"Bearer {token}":
            self.answer(401, {})
        elif is_lease:
            expires = int(time.time() * 1000) + stub.lease_ms
            self.answer(200, {"value": stub.secrets[key], "lease_id": "l", "grant_id": "g", "expires_at_ms": expires})
        else:
            self.raw(200, stub.files[key])

    def do_POST(self) -> None:
        stub = self.stub
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        stub.requests.append((self.path, body))
        if self.headers.get("authorization") != f"Bearer {TOKEN}":
            return self.answer(401, {"code": "invalid_token"})
        failure = stub.failures.pop(0) if stub.failures else None
        if isinstance(failure, int):
            return self.answer(failure, {"code": "failed"})
        with stub.lock:
            said = self.judge(body)
        if failure == "drop":
            self.close_connection = True
            return None
        if said.get("status") == "error":
            return self.answer(409, {"code": "session_not_found"})
        return self.answer(200, said)

    def judge(self, body: dict[str, Any]) -> dict[str, Any]:
        stub = self.stub
        if not self.path.endswith("/batch"):
            return stub.take(body, body["protocol_version"])
        results = []
        for event in body["events"]:
            if stub.limit_items > 0:
                stub.limit_items -= 1
                results.append({"status": "rate_limited", "retry_after_ms": 1})
            else:
                results.append(stub.take(event, body["protocol_version"]))
        return {"results": results}

    def answer(self, status: int, said: dict[str, Any]) -> None:
        self.raw(status, json.dumps(said).encode())

    def raw(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if status == 429:
            self.send_header("retry-after", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def eventually(what: str, look: Callable[[], Any], patience: float = 20.0) -> Any:
    """Looks again and again until there is something."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"still not: {what}")
