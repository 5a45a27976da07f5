"""Jobs that wait, by owner, and those of each worker."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the indexes."""
    waits, runs = text("worker IS NULL"), text("worker IS NOT NULL")
    op.create_index(
        "ix_jobs_owner_response_key",
        "jobs",
        ["owner", "response_key"],
        sqlite_where=waits,
        postgresql_where=waits,
    )
    op.create_index(
        "ix_jobs_worker_owner", "jobs", ["worker", "owner"], sqlite_where=runs, postgresql_where=runs
    )
