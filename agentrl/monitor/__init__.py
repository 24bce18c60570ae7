"""Progress, metric loggers, learning curves."""
