"""The runtime's version, which its ping reply names."""

__version__ = "0.1.0"
