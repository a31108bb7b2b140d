"""Change a response on its way from the backend to the client. See `dragoman.core.shaping`."""
