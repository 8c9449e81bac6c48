"""Learning: tuning, training and judging policies in the simulator."""
