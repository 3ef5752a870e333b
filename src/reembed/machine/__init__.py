"""State machine: every decision about jobs, money and quotas, as pure functions."""
