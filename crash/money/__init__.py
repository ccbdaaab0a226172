"""Thousands of random orders through faults, whose money is then counted. `python -m crash.money`."""
