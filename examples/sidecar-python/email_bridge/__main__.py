"""Runs the bridge: `python3 -m email_bridge`."""

import logging
import os
import sys

from kheish_sidecar import Settings, WrongSetting

from .bridge import Bridge
from .settings import MailSettings


def main() -> int:
    """Runs until SIGTERM. 2 says that something is set wrongly."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        bridge = Bridge(Settings.from_env(os.environ), MailSettings.from_env(os.environ))
    except WrongSetting as error:
        print(f"email bridge: {error}", file=sys.stderr)
        return 2
    bridge.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
