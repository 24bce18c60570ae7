"""Policy serving behind one protocol."""
