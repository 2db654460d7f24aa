"""What must agree with what: one module each. Its docstring begins with what; `faults()` finds what does not."""
