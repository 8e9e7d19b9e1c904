"""What PostgreSQL needs: the clock in UTC, and one lock that all who write take at a transaction's start."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from bise.store.sqlite import LOCK_WAIT_S

_WRITE_LOCK = 0x62697365  # "bise"


def prepare_postgres(engine: AsyncEngine) -> None:
    """Set up every connection that an engine makes."""

    @sa.event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: sa.engine.interfaces.DBAPIConnection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
        cursor.close()
        connection.commit()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: sa.Connection) -> None:
        # Released with the transaction's end. Only one server writes much: waiting here costs it nothing.
        if connection.get_execution_options().get("bise_write"):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITE_LOCK})")
