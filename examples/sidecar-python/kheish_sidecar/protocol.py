"""What the daemon and a sidecar say to each other."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

RUNTIME_VERSION = 1
"""Of manifest, health and deliveries."""

INGRESS_VERSIONS = (2, 1)
"""Of events, the preferred one first."""

DETAIL_CHARS = 500
"""Of a detail in an answer: the daemon reads no more than 64 KiB."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_MEDIA_TYPE = re.compile(r"[!#$&^_.+\w-]+/[!#$&^_.+\w-]+\Z", re.ASCII)


class Thread(TypedDict):
    """The conversation's place in its platform, from the outside in."""

    path: list[str]


class Relation(TypedDict):
    """What an event is to an earlier one."""

    kind: str
    target_event_id: str


class Item(TypedDict):
    """A piece of content: `text`, `asset_reference` or `inline_asset`."""

    type: Literal["text", "asset_reference", "inline_asset"]
    text: NotRequired[str]
    asset_id: NotRequired[str]
    file_name: NotRequired[str]
    media_type: NotRequired[str]
    content_base64: NotRequired[str]


class Event(TypedDict):
    """An event. With its id the same content must come again, or the daemon rejects it; `occurred_at_ms` may differ."""

    event_id: str
    content: NotRequired[str]
    thread: NotRequired[Thread]
    routing_key: NotRequired[str]
    actor_id: NotRequired[str]
    source_kind: NotRequired[str]
    intent: NotRequired[str]
    relation: NotRequired[Relation]
    occurred_at_ms: NotRequired[int]
    input_items: NotRequired[list[Item]]
    attachments: NotRequired[list[Item]]
    reply_route: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    fingerprint: NotRequired[str]


@dataclass(frozen=True)
class Result:
    """What became of an event."""

    status: Literal["accepted", "duplicate", "rejected"]
    session_id: str | None = None
    run_id: str | None = None
    reason: str | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the daemon has no run of it: not even an earlier one, of other content."""
        return self.status == "rejected" and self.run_id is None


@dataclass(frozen=True)
class Attachment:
    """A file that goes out; `Daemon.download` fetches it while its delivery is under way."""

    id: str
    media_type: str
    file_name: str
    download_path: str
    sha256: str | None
    byte_length: int | None


@dataclass(frozen=True)
class Delivery:
    """A message that goes out."""

    key: str
    """The same for every attempt, and for a replay by the operator."""
    delivery_id: str
    attempt: int
    reply_route: str
    text: str
    attachments: tuple[Attachment, ...] = ()
    session_id: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery."""

    status: Literal["committed", "retryable_error", "terminal_error", "unknown"]
    detail: str = ""
    retry_after: float | None = None
    """Seconds to wait, if the platform named them."""

    @classmethod
    def committed(cls, detail: str = "") -> Outcome:
        """The platform has it."""
        return cls("committed", detail)

    @classmethod
    def retryable(cls, detail: str, retry_after: float | None = None) -> Outcome:
        """The platform has nothing of it, and may take it later."""
        return cls("retryable_error", detail, retry_after)

    @classmethod
    def terminal(cls, detail: str) -> Outcome:
        """The platform will never take it."""
        return cls("terminal_error", detail)

    @classmethod
    def unknown(cls, detail: str) -> Outcome:
        """It left, and nobody said what became of it: the protocol has no word for it, and the daemon takes it as that."""
        return cls("unknown", detail)


def inline_file(name: str, media_type: str, data: bytes) -> Item:
    """A file that comes with an event, under a name and a type that the daemon takes."""
    name = _CONTROL.sub(" ", name).strip().encode()[:255].decode(errors="ignore")
    media_type = media_type if len(media_type) <= 255 and _MEDIA_TYPE.match(media_type) else "application/octet-stream"
    encoded = base64.b64encode(data).decode()
    return {"type": "inline_asset", "file_name": name or "file", "media_type": media_type, "content_base64": encoded}


def read_delivery(body: Any, key: str | None) -> Delivery:
    """Reads what the daemon posted to `/deliver`; raises ValueError."""
    try:
        files = [part["attachment"] for part in body.get("parts", []) if part.get("type") == "attachment"]
        delivery_id = str(body["delivery_id"])
        return Delivery(
            key=key or f"kheish:{delivery_id}",
            delivery_id=delivery_id,
            attempt=int(body.get("attempt", 1)),
            reply_route=str(body["reply_route"]),
            text=str(body.get("content") or ""),
            attachments=tuple(map(_attachment, files)),
            session_id=str((body.get("conversation") or {}).get("session_id") or ""),
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"this is no delivery: {error!r}") from error


def _attachment(file: dict[str, Any]) -> Attachment:
    return Attachment(
        id=str(file["id"]),
        media_type=str(file.get("media_type") or "application/octet-stream"),
        file_name=str(file.get("file_name") or "file"),
        download_path=str(file["download_path"]),
        sha256=file.get("sha256"),
        byte_length=file.get("byte_length"),
    )
