"""Where the log goes and how it is formatted."""
