"""Fetching of images and files that requests name by URL."""
