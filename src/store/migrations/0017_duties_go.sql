-- From here on a row goes when its duty is let go of. Its epoch may come again with another owner, never with the same one.
DELETE FROM duties WHERE until_ms = 0;
