"""Runs migrations on the connection that rotator hands over, in the transaction it has begun; it opens nothing itself.

To write the next one, copy the newest file of `versions/`, change `rotator/persistence/tables.py` and with it
`REVISION` in `rotator/persistence/marks.py`, and run `make check`, which compares both.
"""

from alembic import context

from rotator.persistence.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
