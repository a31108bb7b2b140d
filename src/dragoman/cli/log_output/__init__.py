"""The log: its format, its destinations and its set-up."""
