"""Tests of the helper and of the bridge: `python3 -m unittest`."""
