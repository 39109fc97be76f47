"""What a sidecar of kheishd needs: events in, deliveries out, credentials by lease. Python's standard library is enough.

A bridge makes a `Sidecar` of its `Settings` and of a function that sends one `Delivery`, and gives `run` what shall go on
meanwhile. What it hears it gives to `sidecar.daemon`, with an id that the platform gives it again when it repeats itself.
"""

from .client import Daemon, Refused, Unavailable
from .credentials import Credentials
from .protocol import Attachment, Delivery, Event, Item, Outcome, Relation, Result, Thread, inline_file
from .server import Sidecar
from .settings import Settings, WrongSetting

__all__ = [
    "Attachment",
    "Credentials",
    "Daemon",
    "Delivery",
    "Event",
    "Item",
    "Outcome",
    "Refused",
    "Relation",
    "Result",
    "Settings",
    "Sidecar",
    "Thread",
    "Unavailable",
    "WrongSetting",
    "inline_file",
]
