"""Deliveries under way, each once: the daemon asks again when it heard nothing, also of a sidecar that has ended since."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Late
from pathlib import Path

from .protocol import Delivery, Outcome

log = logging.getLogger(__name__)

Deliver = Callable[[Delivery], Outcome]


class Ledger:
    """The last deliveries that arrived: in memory, and in a file if there is one."""

    REMEMBERED = 10_000

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text(errors="replace").split("\n") if path and path.exists() else []
        # What stands behind the last end of a line was not written to its end.
        self._keys: OrderedDict[str, None] = OrderedDict.fromkeys(lines[:-1][-self.REMEMBERED :])
        if path and lines:
            shorter = path.with_name(path.name + ".new")
            shorter.write_text("".join(f"{key}\n" for key in self._keys))
            shorter.replace(path)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def add(self, key: str) -> None:
        """Remembers one. It is on disk before the daemon hears that it arrived."""
        self._keys[key] = None
        if len(self._keys) > self.REMEMBERED:
            self._keys.popitem(last=False)
        if self._path:
            with self._path.open("a") as file:
                file.write(key.replace("\n", " ") + "\n")
                file.flush()
                os.fsync(file.fileno())


class Deliveries:
    """Gives each delivery to the bridge once at a time, and remembers the last ones that arrived."""

    MOST = 16
    PATIENCE = 12.0

    def __init__(self, deliver: Deliver, stopping: threading.Event, ledger: Path | None = None) -> None:
        self._deliver = deliver
        self._stopping = stopping
        self._under_way: dict[str, Future[Outcome]] = {}
        self._arrived = Ledger(ledger)
        self._lock = threading.Lock()

    def take(self, delivery: Delivery) -> Outcome:
        """Delivers it, or waits for the attempt that is under way. Answers sooner than the daemon gives up."""
        with self._lock:
            if delivery.key in self._arrived:
                return Outcome.committed("it arrived before")
            work = self._under_way.get(delivery.key)
            if work is None:
                if self._stopping.is_set():
                    return Outcome.retryable("the sidecar stops")
                if len(self._under_way) >= self.MOST:
                    return Outcome.retryable("too many deliveries are under way", retry_after=1)
                work = self._under_way[delivery.key] = Future()
                threading.Thread(target=self._work, args=(delivery, work), daemon=True).start()
        try:
            return work.result(self.PATIENCE)
        except Late:
            return Outcome.retryable("an attempt is still under way: ask for it again", retry_after=1)

    def drain(self, patience: float) -> None:
        """Waits for what is under way. Nothing is taken any more, because the sidecar stops."""
        with self._lock:
            rest = list(self._under_way.values())
        end = time.monotonic() + patience
        for work in rest:
            try:
                work.result(max(0.0, end - time.monotonic()))
            except Late:
                log.warning("a delivery is still under way at the end")

    def _work(self, delivery: Delivery, work: Future[Outcome]) -> None:
        try:
            outcome = self._deliver(delivery)
        except Exception as error:  # The bridge's own mistake: what it has sent is not known.
            log.exception("delivery %s failed", delivery.delivery_id)
            outcome = Outcome.unknown(f"the bridge failed: {type(error).__name__}")
        with self._lock:
            del self._under_way[delivery.key]
            if outcome.status == "committed":
                self._remember(delivery.key)
        work.set_result(outcome)

    def _remember(self, key: str) -> None:
        try:
            self._arrived.add(key)
        except OSError:
            # It did arrive, and only a restart would forget it.
            log.exception("the ledger cannot be written")
