"""`dragoman serve`: in the foreground, in the background, and with reload."""
