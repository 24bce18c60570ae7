"""The asynchronous collector of episodes."""
