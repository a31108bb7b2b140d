"""Dragoman: an OpenAI-compatible gateway in front of Claude."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("dragoman")
