"""Crash runs: buyers go on while parts are killed at random; afterwards everything that was promised is looked for."""
