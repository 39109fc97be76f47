"""What the daemon tells a child in its environment, and an operator a sidecar that runs elsewhere."""

from __future__ import annotations

import ipaddress
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PREFIX = "KHEISH_EXTERNAL_CONNECTOR_"


class WrongSetting(Exception):
    """Something in the environment is missing, or is not what it should be."""


@dataclass(frozen=True)
class Settings:
    """Where the daemon and the sidecar find each other, and what they show each other."""

    name: str
    """The connector's name."""
    base_url: str
    """Where the daemon calls."""
    daemon_base_url: str
    """Where the daemon is called."""
    shared_token: str | None = field(default=None, repr=False)
    credential_token: str | None = field(default=None, repr=False)
    credential_keys: frozenset[str] = frozenset()
    listen: tuple[str, int] | None = None
    """Where to listen, if not at the host and the port of `base_url`: behind a proxy."""
    ledger: Path | None = None
    """A file that remembers over a restart which deliveries arrived."""
    instance_id: str = field(default_factory=lambda: secrets.token_hex(8))
    """This life of the sidecar."""

    def __post_init__(self) -> None:
        for name, url in (("BASE_URL", self.base_url), ("DAEMON_BASE_URL", self.daemon_base_url)):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise WrongSetting(f"{PREFIX}{name} is no http address: {url!r}")
        host, _ = self.address
        if self.shared_token is None and not is_loopback(host):
            raise WrongSetting(f"{PREFIX}SHARED_TOKEN is missing: without it only a loopback address may listen")

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen."""
        if self.listen is not None:
            return self.listen
        parts = urlsplit(self.base_url)
        if parts.port is None:
            raise WrongSetting(f"{PREFIX}BASE_URL names no port: add one, or set {PREFIX}LISTEN")
        return parts.hostname or "", parts.port

    @property
    def base_path(self) -> str:
        """What the paths of the daemon's calls begin with."""
        return urlsplit(self.base_url).path.rstrip("/")

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Reads them as the daemon writes them."""

        def needed(name: str) -> str:
            value = env.get(PREFIX + name, "").strip()
            if not value:
                raise WrongSetting(f"{PREFIX}{name} is missing")
            return value

        keys = json.loads(env.get(PREFIX + "CREDENTIAL_KEYS_JSON") or "[]")
        ledger = env.get(PREFIX + "LEDGER_FILE")
        listen, instance = env.get(PREFIX + "LISTEN"), env.get(PREFIX + "INSTANCE_ID")
        return cls(
            name=needed("NAME"),
            base_url=needed("BASE_URL"),
            daemon_base_url=needed("DAEMON_BASE_URL").rstrip("/"),
            shared_token=env.get(PREFIX + "SHARED_TOKEN") or None,
            credential_token=env.get(PREFIX + "CREDENTIAL_TOKEN") or None,
            credential_keys=frozenset(str(key) for key in keys),
            listen=read_address(listen) if listen else None,
            ledger=Path(ledger) if ledger else None,
            **({"instance_id": instance} if instance else {}),
        )


def read_address(written: str) -> tuple[str, int]:
    """`host:port`; port 0 is any that is free."""
    host, colon, port = written.rpartition(":")
    if not colon or not port.isdigit():
        raise WrongSetting(f"{written!r} is no address: write host:port")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether only this machine can come to this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".") == "localhost"
