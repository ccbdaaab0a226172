"""Benchmarks: what the marketplace does on this machine, beside a limit measured in the same run."""
