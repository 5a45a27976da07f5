"""Alembic's folder; see `shim.store.schema`."""
