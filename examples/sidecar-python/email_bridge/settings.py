"""What an operator sets for the bridge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from kheish_sidecar import WrongSetting
from kheish_sidecar.settings import is_loopback

PASSWORD = "EMAIL_PASSWORD"
"""The credential's name."""


@dataclass(frozen=True)
class Server:
    """A mail server. Without TLS only one on this machine is spoken to."""

    host: str
    port: int
    security: str
    """`tls` from the start, `starttls`, or `none`."""


@dataclass(frozen=True)
class MailSettings:
    """Whose mailbox it is, and who may use it."""

    address: str
    user: str
    imap: Server
    smtp: Server
    allowed: frozenset[str]
    """Addresses, `@domains`, or `*`: who may write, and who is written to."""
    folder: str = "INBOX"
    poll_seconds: float = 15.0
    since_days: int = 3
    """How far back a start looks."""
    mail_bytes: int = 25 << 20
    """Of a mail that is read or written."""
    timeout: float = 10.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> MailSettings:
        """Reads them."""

        def needed(name: str) -> str:
            value = env.get(name, "").strip()
            if not value:
                raise WrongSetting(f"{name} is missing")
            return value

        def number(name: str, default: float) -> float:
            written = env.get(name) or str(default)
            try:
                value = float(written)
            except ValueError:
                value = 0.0
            if not 0 < value < 1e9:
                raise WrongSetting(f"{name} is no positive number: {written!r}")
            return value

        address = needed("EMAIL_ADDRESS").lower()
        if address.count("@") != 1 or not address.isascii():
            raise WrongSetting(f"EMAIL_ADDRESS is no plain address: {address!r}")
        allowed = frozenset(entry.strip().lower() for entry in needed("EMAIL_ALLOWED").split(",") if entry.strip())
        return cls(
            address=address,
            user=env.get("EMAIL_USER") or address,
            imap=_server(needed("EMAIL_IMAP_URL"), "imap", {"imaps": 993, "imap": 143}),
            smtp=_server(needed("EMAIL_SMTP_URL"), "smtp", {"smtps": 465, "smtp": 587}),
            allowed=allowed,
            folder=env.get("EMAIL_FOLDER") or "INBOX",
            poll_seconds=number("EMAIL_POLL_SECONDS", 15),
            since_days=round(number("EMAIL_SINCE_DAYS", 3)),
            mail_bytes=round(number("EMAIL_MAX_BYTES", 25 << 20)),
        )

    @property
    def domain(self) -> str:
        """Of the bridge's own address."""
        return self.address.rpartition("@")[2]

    def allows(self, address: str) -> bool:
        """Whether somebody may write, and is written to. Nobody is, unless listed."""
        address = address.lower()
        return bool(self.allowed & {"*", address, "@" + address.rpartition("@")[2]})


def _server(url: str, scheme: str, ports: Mapping[str, int]) -> Server:
    parts = urlsplit(url)
    if parts.scheme not in ports or not parts.hostname or parts.username or parts.path.strip("/"):
        raise WrongSetting(f"{url!r} is not of the form {scheme}s://host[:port] or {scheme}://host[:port]")
    plain = "none" if is_loopback(parts.hostname) else "starttls"
    security = "tls" if parts.scheme.endswith("s") else plain
    return Server(parts.hostname, parts.port or ports[parts.scheme], security)
