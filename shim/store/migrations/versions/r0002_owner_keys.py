"""What the owner key is, for every key that seals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "owner_keys",
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("key_id", name="pk_owner_keys"),
    )
