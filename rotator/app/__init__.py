"""Puts the program together from its configuration; the only place that knows both the core and every adapter."""
