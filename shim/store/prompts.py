"""Stored prompts, by id and version.

Not here: variables and how a prompt becomes a request.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select

from shim.store.database import Database
from shim.store.dialect import insert_from, insert_into, upsert
from shim.store.faults import StoreFault
from shim.store.records import Prompt
from shim.store.tables import prompts

NUMBERING_ATTEMPTS = 8
"""How often a new version is numbered again because somebody else took the number."""

_COLUMNS = ("owner", "id", "version", "created_at", "template")


class SqlPrompts:
    """`shim.store.protocol.Prompts`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        adding = insert_into(database.kind, prompts)
        replaced = {name: adding.excluded[name] for name in ("created_at", "template")}
        self._put = upsert(adding, _COLUMNS[:3], replaced, (prompts.c.version,))
        following = select(
            bindparam("new_owner", type_=prompts.c.owner.type),
            bindparam("new_id", type_=prompts.c.id.type),
            func.coalesce(func.max(prompts.c.version), 0) + 1,
            bindparam("now", type_=prompts.c.created_at.type),
            bindparam("body", type_=prompts.c.template.type),
        ).where(prompts.c.owner == bindparam("of"), prompts.c.id == bindparam("named"))
        adding = insert_from(database.kind, prompts, _COLUMNS, following)
        self._put_next = adding.on_conflict_do_nothing(index_elements=_COLUMNS[:3]).returning(
            prompts.c.version
        )

    async def put(
        self, owner: str, prompt_id: str, template: bytes, now: int, version: int | None = None
    ) -> Prompt:
        """See the protocol."""
        given = dict(zip(_COLUMNS, (owner, prompt_id, version, now, template), strict=True))
        following: dict[str, Any] = {"new_owner": owner, "new_id": prompt_id, "of": owner, "named": prompt_id}
        following |= {"now": now, "body": template}

        def work(connection: Connection) -> int | None:
            if version is not None:
                connection.execute(self._put, given)
                return version
            return connection.execute(self._put_next, following).scalar()

        for _ in range(NUMBERING_ATTEMPTS):
            number = await self._database.write(work)
            if number is not None:
                return Prompt(owner, prompt_id, number, now, template)
        raise StoreFault("Too many versions of one prompt are being stored at once.")

    async def get(self, owner: str, prompt_id: str, version: int | None = None) -> Prompt | None:
        """See the protocol."""
        query = select(prompts).where(prompts.c.owner == owner, prompts.c.id == prompt_id)
        if version is not None:
            query = query.where(prompts.c.version == version)
        found = await self._read(query.order_by(prompts.c.version.desc()).limit(1))
        return found[0] if found else None

    async def list(self, owner: str, prompt_id: str | None = None) -> tuple[Prompt, ...]:
        """See the protocol."""
        query = select(prompts).where(prompts.c.owner == owner).order_by(prompts.c.id, prompts.c.version)
        if prompt_id is not None:
            return await self._read(query.where(prompts.c.id == prompt_id))
        other = prompts.alias()
        latest = select(func.max(other.c.version)).where(
            other.c.owner == prompts.c.owner, other.c.id == prompts.c.id
        )
        return await self._read(query.where(prompts.c.version == latest.scalar_subquery()))

    async def _read(self, query: Any) -> tuple[Prompt, ...]:
        def work(connection: Connection) -> tuple[Prompt, ...]:
            rows = connection.execute(query)
            return tuple(Prompt(row.owner, row.id, row.version, row.created_at, row.template) for row in rows)

        return await self._database.read(work)

    async def delete(self, owner: str, prompt_id: str, version: int | None = None) -> int:
        """See the protocol."""
        statement = delete(prompts).where(prompts.c.owner == owner, prompts.c.id == prompt_id)
        if version is not None:
            statement = statement.where(prompts.c.version == version)

        def work(connection: Connection) -> int:
            return connection.execute(statement).rowcount

        return await self._database.write(work)
