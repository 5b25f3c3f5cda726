"""The version of this package, and nothing else, so that setup can read it without torch."""

__version__ = '1.1.0.dev0'
