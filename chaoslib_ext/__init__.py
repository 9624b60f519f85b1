"""Resilience tests that can be believed, on Chaos Toolkit and Locust."""

__version__ = "0.1.0"
