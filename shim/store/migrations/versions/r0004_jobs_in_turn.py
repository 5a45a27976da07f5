"""Jobs by owner, and those of each worker."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_jobs_owner_response_key", "jobs", ["owner", "response_key"])
    op.create_index("ix_jobs_worker_owner", "jobs", ["worker", "owner"])
