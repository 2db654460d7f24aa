"""Named mutants of the protocol: each breaks one rule, and the tests must notice. Not collected by pytest."""
