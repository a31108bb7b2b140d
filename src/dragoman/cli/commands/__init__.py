"""The subcommands, by topic. Each module is imported only when one of its commands is called."""
