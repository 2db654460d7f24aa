"""One kind of issuer per file; nothing is imported here, so that a run pays only for the kinds it handles."""
