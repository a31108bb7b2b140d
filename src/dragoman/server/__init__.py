"""HTTP: routes, middleware, request handlers."""
