"""Ids of mails, and the conversation that each belongs to. Pure.

A mail of the bridge carries the conversation in its own id. So an answer finds back whichever of the mails it names, and
nothing has to be kept. The id of a mail that goes out follows from the delivery: sent twice it is the same mail.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

_ID = re.compile(r"<[^<>\s]{1,400}>")
_OWN = re.compile(r"<kheish\.[0-9a-f]{32}\.([0-9a-f]{32})@([^<>@]+)>")

REFERENCES = 12
"""Of a mail: the first one and the last ones."""


def ids(header: str) -> list[str]:
    """The ids in a header, in their order."""
    return _ID.findall(header)


def digest(text: str) -> str:
    """32 hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def conversation(own_id: str, references: Sequence[str], in_reply_to: Sequence[str], domain: str) -> str:
    """Which conversation a mail belongs to: that of the bridge's mail that it answers, or else that of its first mail."""
    for named in [*reversed(references), *in_reply_to]:
        own = _OWN.fullmatch(named)
        if own and own[2] == domain:
            return own[1]
    return digest(next(iter([*references, *in_reply_to]), own_id))


def outgoing_id(key: str, thread: str, domain: str) -> str:
    """The id of the mail that a delivery becomes."""
    return f"<kheish.{digest(key)}.{thread}@{domain}>"


def shortened(references: Sequence[str]) -> list[str]:
    """What an answer refers to, when the conversation has become long."""
    unique = list(dict.fromkeys(references))
    return unique if len(unique) <= REFERENCES else [unique[0], *unique[1 - REFERENCES :]]
