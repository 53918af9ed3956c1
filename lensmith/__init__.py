"""Lensmith: from pictures to a convolutional network that works."""

__version__ = "0.1.0"
