"""The built-in environments, one folder each."""
