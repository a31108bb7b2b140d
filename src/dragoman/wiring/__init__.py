"""The composition root: `checks` of settings, `backends` built from them, and the `gateway` put together."""
