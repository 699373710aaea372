"""What bench/run and bench/instructions are made of; Python's standard library only."""
