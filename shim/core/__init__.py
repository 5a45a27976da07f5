"""The translation, pure: no I/O, no clock, no randomness, no environment, no logging."""
