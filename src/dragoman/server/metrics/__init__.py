"""Figures for Prometheus."""

from dragoman.server.metrics.endpoint import Metrics

__all__ = ["Metrics"]
