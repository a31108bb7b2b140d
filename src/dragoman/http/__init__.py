"""A small HTTP/1.1 client on asyncio and httptools, for backends, the remote embedder and fetching."""
