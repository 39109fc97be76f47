"""The daemon, as a sidecar calls it: events, files, leases."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from .protocol import INGRESS_VERSIONS, Attachment, Event, Result
from .settings import Settings

BATCH_EVENTS = 64
BATCH_BYTES = 1_500_000
ANSWER_BYTES = 1 << 20
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
PATIENCE = 300.0

OF_THE_EVENT = (400, 409, 413, 422)
"""What is refused like this, is so because of the event, and others are taken."""

log = logging.getLogger(__name__)


class Unavailable(Exception):
    """The daemon could not be asked, or took nothing, for as long as was waited. What was sent may be sent again."""


class Refused(Exception):
    """The daemon takes it never, as it is: a wrong token, an unknown connector, a body that it cannot read."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"the daemon answered {status}: {text}")
        self.status = status


class _Busy(Exception):
    """This attempt failed; the next one may not."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass
class _Attempt:
    """One attempt, by place: what is settled, what has to go alone, and why and for how long the rest has to wait."""

    settled: dict[int, Result] = field(default_factory=dict)
    odd: list[int] = field(default_factory=list)
    reason: str = ""
    wait: float | None = None


class _Stay(urllib.request.HTTPRedirectHandler):
    """A token is not carried elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Daemon:
    """Sends events until the daemon has them. Safe to share between threads."""

    def __init__(self, settings: Settings, stopping: threading.Event | None = None, timeout: float = 15.0) -> None:
        self.settings = settings
        self._stopping = stopping or threading.Event()
        self._timeout = timeout
        self._version = INGRESS_VERSIONS[0]
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
        self._path = f"/v1/connectors/external/{quote(settings.name, safe='')}"

    def post(self, event: Event, patience: float = PATIENCE) -> Result:
        """Gives the daemon an event, again and again for so many seconds. Its id makes that harmless."""
        return self.post_all([event], patience)[0]

    def post_all(self, events: Sequence[Event], patience: float = PATIENCE) -> list[Result]:
        """The same for several, in few requests. Results are in the order of the events."""
        if any(not event["event_id"].strip() for event in events):
            raise ValueError("an event has no id: nothing would tell its repetition from another event")
        results: dict[int, Result] = {}
        alone: set[int] = set()
        waits = self._waits(patience)
        while open_ones := [index for index in range(len(events)) if index not in results]:
            chosen = _first_batch(events, open_ones, alone)
            try:
                attempt = self._post_once([events[index] for index in chosen])
            except _Busy as error:
                attempt = _Attempt(reason=str(error), wait=error.wait)
            results.update({chosen[place]: result for place, result in attempt.settled.items()})
            # By itself, an event that cannot be taken is told from a daemon that is busy.
            alone.update(chosen[place] for place in attempt.odd)
            if attempt.settled:
                waits = self._waits(patience)
            if len(attempt.settled) + len(attempt.odd) < len(chosen):
                self._pause(waits, attempt.reason, attempt.wait)
        return [results[index] for index in range(len(events))]

    def download(self, attachment: Attachment, limit: int) -> bytes:
        """Fetches a file of a delivery that is under way; raises ValueError if it is too long or not what was promised."""
        try:
            data = self._open(attachment.download_path, None, self.settings.shared_token, limit)
        except _Busy as error:
            raise Unavailable(str(error)) from error
        if attachment.sha256 and hashlib.sha256(data).hexdigest() != attachment.sha256:
            raise ValueError(f"{attachment.file_name} is not what its digest says")
        return data

    def lease(self, key: str) -> dict[str, Any]:
        """A credential: its `value`, and `expires_at_ms`."""
        path = f"{self._path}/credentials/{quote(key, safe='')}"
        try:
            lease = json.loads(self._open(path, None, self.settings.credential_token, ANSWER_BYTES))
            return {"value": str(lease["value"]), "expires_at_ms": int(lease["expires_at_ms"])}
        except (_Busy, ValueError, KeyError, TypeError) as error:
            # What the answer holds is secret, so it is not shown.
            raise Unavailable(f"no lease of {key}: {type(error).__name__}") from error

    def _post_once(self, events: list[Event]) -> _Attempt:
        version, own = self._version, {"instance_id": self.settings.instance_id}
        is_single = len(events) == 1
        try:
            if is_single:
                answers = [self._call("/events", {"protocol_version": version, **own, **events[0]})]
            else:
                body = {"protocol_version": version, "events": [{**own, **event} for event in events]}
                answers = self._call("/events/batch", body).get("results") or []
        except Refused as error:
            if error.status not in OF_THE_EVENT:
                raise
            if is_single:
                return _Attempt({0: Result("rejected", reason=str(error))})
            return _Attempt(odd=list(range(len(events))))
        if len(answers) != len(events):
            raise _Busy(f"the daemon gave {len(answers)} results for {len(events)} events")
        attempt = _Attempt()
        for place, answer in enumerate(answers):
            status, said = answer.get("status"), str(answer.get("reason") or "")
            if status == "rejected" and version == 2 and "unsupported" in said and "version" in said:
                # An older daemon: everything is said again as it understands it.
                self._version = INGRESS_VERSIONS[1]
                return _Attempt(reason=said, wait=0.0)
            if status in ("accepted", "duplicate", "rejected"):
                run = answer.get("run_id")
                attempt.settled[place] = Result(status, answer.get("session_id"), run, said or None)
            elif status == "error" and not is_single:
                attempt.odd.append(place)
            else:
                attempt.reason, asked = said, answer.get("retry_after_ms")
                attempt.wait = max(attempt.wait or 0.0, asked / 1000) if asked else attempt.wait
        return attempt

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = _encoded(body)
        try:
            answer = json.loads(self._open(self._path + path, data, self.settings.shared_token, ANSWER_BYTES))
        except ValueError as error:
            raise _Busy(f"the daemon's answer is unreadable: {error}") from error
        return answer if isinstance(answer, dict) else {}

    def _open(self, path: str, data: bytes | None, token: str | None, limit: int) -> bytes:
        if not path.startswith("/"):
            raise ValueError(f"{path!r} is no path of the daemon")
        request = urllib.request.Request(self.settings.daemon_base_url + path, data)
        request.add_header("content-type", "application/json")
        if token:
            request.add_header("authorization", f"Bearer {token}")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                body: bytes = response.read(limit + 1)
        except urllib.error.HTTPError as error:
            with error:
                self._complain(error)
        except (OSError, http.client.HTTPException) as error:
            raise _Busy(f"the daemon does not answer: {error}") from error
        if len(body) > limit:
            raise ValueError(f"{path} has more than {limit} bytes")
        return body

    def _complain(self, error: urllib.error.HTTPError) -> None:
        text = error.read(2000).decode(errors="replace")
        if error.code in (408, 425, 429) or error.code >= 500:
            after = error.headers.get("retry-after", "")
            raise _Busy(f"the daemon answered {error.code}", float(after) if after.isdigit() else None)
        raise Refused(error.code, text)

    def _waits(self, patience: float) -> Iterator[float]:
        """Longer and longer pauses, until the patience is over."""
        end, pause = time.monotonic() + patience, FIRST_PAUSE
        while time.monotonic() < end:
            yield random.uniform(pause / 2, pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _pause(self, waits: Iterator[float], reason: str, wait: float | None) -> None:
        pause = next(waits, None)
        if pause is None:
            raise Unavailable(reason)
        log.info("events wait: %s", reason)
        if self._stopping.wait(pause if wait is None else min(wait, 60.0)):
            raise Unavailable("the sidecar stops")


def _encoded(body: Any) -> bytes:
    # What no UTF-8 can say becomes a question mark: it would be refused again and again.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def _first_batch(events: Sequence[Event], open_ones: list[int], alone: set[int]) -> list[int]:
    if open_ones[0] in alone:
        return open_ones[:1]
    chosen: list[int] = []
    size = 0
    for index in [one for one in open_ones if one not in alone][:BATCH_EVENTS]:
        size += len(_encoded(events[index]))
        if chosen and size > BATCH_BYTES:
            break
        chosen.append(index)
    return chosen
