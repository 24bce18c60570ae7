"""Held-out evaluation, pass@k with intervals, comparison of runs."""
