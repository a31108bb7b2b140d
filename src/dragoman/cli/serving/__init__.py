"""What `serve` does: in the foreground, in the background, under systemd."""
