"""How much each owner keeps, and what of it is oldest."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the index."""
    op.create_index("ix_responses_owner_created_at_size", "responses", ["owner", "created_at", "size"])
