"""The cache of what is made from content: it finds what was used, and its bound counts what small entries take."""

from dragoman.core.content_cache import ContentCache

_BOUND = 100_000


def stored(cache: ContentCache[int], keys: list[bytes]) -> int:
    """Return how many of these keys have a value."""
    return sum(value is not None for value in cache.get_all(keys))


def test_small_entries_count_more_than_their_key() -> None:
    """A tiny message takes a kilobyte, so that a bound on its few bytes would be none."""
    cache: ContentCache[int] = ContentCache(_BOUND)
    keys = [b"%d" % number for number in range(10_000)]
    for number, key in enumerate(keys):
        cache.put(key, number)
    assert 100 < stored(cache, keys) < 400


def test_what_is_used_stays() -> None:
    """All else is dropped, the oldest first. What is larger than a quarter of the bound is not stored."""
    cache: ContentCache[int] = ContentCache(_BOUND)
    cache.put(b"used", -1)
    keys = [b"%d" % number for number in range(2000)]
    for number, key in enumerate(keys):
        cache.put(key, number)
        assert cache.get(b"used") == -1
    assert cache.get(keys[0]) is None
    assert cache.get(keys[-1]) == len(keys) - 1
    cache.put(b"x" * (_BOUND // 3), 0)
    assert cache.get(b"x" * (_BOUND // 3)) is None
