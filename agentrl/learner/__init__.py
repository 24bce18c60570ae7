"""From batch and advantages to better weights."""
