"""What rotator knows, in one SQLite file: the ledger that writes, its readers, and the lock. It knows no value."""
