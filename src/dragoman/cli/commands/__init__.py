"""One module per subcommand. Each has a `command`, loaded only when it is called."""
