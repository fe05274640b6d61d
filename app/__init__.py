"""Cloche: a desktop monitor for Celery."""

__version__ = "0.1.0"
