"""The first tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    _responses()
    _streams()
    _jobs()
    _conversations()
    _others()


def _responses() -> None:
    op.create_table(
        "responses",
        sa.Column("key", _serial(), primary_key=True),
        _text("owner"),
        _text("id"),
        _number("created_at"),
        sa.Column("revision", sa.Integer, nullable=False),
        _number("size"),
        _text("status"),
        _text("model"),
        _text("served_model", nullable=True),
        _text("previous_response_id", nullable=True),
        _text("conversation_id", nullable=True),
        sa.Column("version", sa.Integer, nullable=False),
        _bytes("envelope"),
        sa.PrimaryKeyConstraint("key", name="pk_responses"),
        sa.UniqueConstraint("owner", "id", name="uq_responses_owner_id"),
    )
    op.create_index("ix_responses_created_at_size", "responses", ["created_at", "size"])
    op.create_table(
        "items",
        _parent("response"),
        sa.Column("source", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("position", sa.Integer, nullable=False, autoincrement=False),
        _text("owner"),
        _text("id"),
        _bytes("body"),
        _of("items", "response"),
        sa.PrimaryKeyConstraint("response_key", "source", "position", name="pk_items"),
    )
    op.create_index("ix_items_owner_id", "items", ["owner", "id"])


def _streams() -> None:
    op.create_table(
        "streams",
        _parent("response"),
        _number("size"),
        sa.Column("cut", sa.Boolean, nullable=False),
        _number("last_number"),
        _of("streams", "response"),
        sa.PrimaryKeyConstraint("response_key", name="pk_streams"),
    )
    op.create_table(
        "events",
        _parent("response"),
        _number("number"),
        _bytes("body"),
        _of("events", "response"),
        sa.PrimaryKeyConstraint("response_key", "number", name="pk_events"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        _parent("response"),
        _text("owner"),
        _text("response_id"),
        _text("worker", nullable=True),
        sa.Column("until", sa.BigInteger, nullable=True),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        _bytes("sealed_key", nullable=True),
        _bytes("request"),
        _of("jobs", "response"),
        sa.PrimaryKeyConstraint("response_key", name="pk_jobs"),
        sa.UniqueConstraint("owner", "response_id", name="uq_jobs_owner_response_id"),
    )
    op.create_index("ix_jobs_until", "jobs", ["until"])


def _conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("key", _serial(), primary_key=True),
        _text("owner"),
        _text("id"),
        _number("created_at"),
        _number("used_at"),
        _number("size"),
        _number("next_position"),
        _text("lock_worker", nullable=True),
        sa.Column("lock_until", sa.BigInteger, nullable=True),
        _bytes("metadata"),
        sa.PrimaryKeyConstraint("key", name="pk_conversations"),
        sa.UniqueConstraint("owner", "id", name="uq_conversations_owner_id"),
    )
    op.create_index("ix_conversations_used_at", "conversations", ["used_at"])
    op.create_table(
        "conversation_items",
        _parent("conversation"),
        _number("position"),
        _text("owner"),
        _text("id"),
        _bytes("body"),
        _of("conversation_items", "conversation"),
        sa.PrimaryKeyConstraint("conversation_key", "position", name="pk_conversation_items"),
        sa.UniqueConstraint("conversation_key", "id", name="uq_conversation_items_conversation_key_id"),
    )
    op.create_index("ix_conversation_items_owner_id", "conversation_items", ["owner", "id"])


def _others() -> None:
    op.create_table(
        "prompts",
        _text("owner"),
        _text("id"),
        _number("version"),
        _number("created_at"),
        _bytes("template"),
        sa.PrimaryKeyConstraint("owner", "id", "version", name="pk_prompts"),
    )
    op.create_table(
        "calibrations",
        _text("instrument"),
        _number("samples"),
        _number("estimated"),
        _number("reported"),
        sa.PrimaryKeyConstraint("instrument", name="pk_calibrations"),
    )


def _serial() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _parent(table: str) -> sa.Column[int]:
    return sa.Column(f"{table}_key", _serial(), nullable=False, autoincrement=False)


def _of(table: str, parent: str) -> sa.ForeignKeyConstraint:
    column = f"{parent}_key"
    return sa.ForeignKeyConstraint(
        [column], [f"{parent}s.key"], name=f"fk_{table}_{column}", ondelete="CASCADE"
    )


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **({"nullable": False} | options))


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, autoincrement=False)


def _bytes(name: str, **options: Any) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, **({"nullable": False} | options))
