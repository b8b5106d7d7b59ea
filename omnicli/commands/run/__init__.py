"""Running a command: one stage over one output, accounting, summary."""
