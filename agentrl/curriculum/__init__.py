"""Which task next, and how many rollouts for it."""
