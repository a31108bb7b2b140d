"""The subcommands of `dragoman`, each loaded only when it is asked for."""
