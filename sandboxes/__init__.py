"""Isolation back ends."""
