"""Running the gateway: in this process, in the background, under systemd, and again after a change."""
