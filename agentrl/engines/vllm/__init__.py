"""The policy served by vLLM: a server of our own, or running ones at their URLs."""
