"""Alembic's entry: runs the steps on the connection that `shim.store.schema` hands over, in its transaction.

Not imported by the shim; alembic loads it by its place.
"""

from __future__ import annotations

from alembic import context

from shim.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite's too: the store begins its transactions itself
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
