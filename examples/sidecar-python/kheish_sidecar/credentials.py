"""Credentials: by lease from the daemon, or from the environment of a sidecar that it did not start."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .client import Daemon, Refused, Unavailable
from .settings import WrongSetting

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Lease:
    value: str
    renew_at: float
    ends_at: float


class Credentials:
    """Hands out what it has leased, and renews a lease before it ends."""

    def __init__(self, daemon: Daemon, env: Mapping[str, str] = os.environ) -> None:
        self._daemon = daemon
        self._env = env
        self._leases: dict[str, _Lease] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> str:
        """The credential, as it is now. Ask each time that it is used: it may be rotated."""
        if key not in self._daemon.settings.credential_keys:
            return self._from_env(key)
        with self._lock:
            lease, now = self._leases.get(key), time.time()
            if lease is not None and now < lease.renew_at:
                return lease.value
            try:
                lease = self._renew(key, now)
            except (Unavailable, Refused) as error:
                if lease is None or now >= lease.ends_at or isinstance(error, Refused):
                    self._leases.pop(key, None)
                    raise
                log.warning("the lease of %s is not renewed yet: %s", key, error)
            return lease.value

    def forget(self, key: str) -> None:
        """The platform refused it: the next `get` asks the daemon."""
        with self._lock:
            self._leases.pop(key, None)

    def _renew(self, key: str, now: float) -> _Lease:
        got = self._daemon.lease(key)
        ends_at = got["expires_at_ms"] / 1000
        # A third of its life is left for tries that fail.
        lease = _Lease(got["value"], now + (ends_at - now) * 2 / 3, ends_at)
        self._leases[key] = lease
        return lease

    def _from_env(self, key: str) -> str:
        file = self._env.get(f"{key}_FILE")
        value = Path(file).read_text().rstrip("\r\n") if file else self._env.get(key, "")
        if not value:
            raise WrongSetting(f"{key} is neither among the connector's credential_slots nor in the environment")
        return value
