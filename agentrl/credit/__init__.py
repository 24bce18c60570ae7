"""Credit assignment: which turn earned the reward. One file per method; numpy only."""
