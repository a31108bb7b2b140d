"""The `dragoman` command, one file a subcommand."""
