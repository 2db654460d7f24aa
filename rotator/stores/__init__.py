"""Where consumers read and where rotator stages: one file per kind of store; nothing here decides what is written."""
