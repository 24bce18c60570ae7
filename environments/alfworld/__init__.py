"""ALFWorld, played natively: household tasks in text."""
