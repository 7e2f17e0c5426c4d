//! The database under the store: SQLite or Postgres. One SQL text serves both. Placeholders are `?1`, whole numbers
//! have 64 bits, and the few things that differ are translated here and in `migrations.rs`.

mod filter;
mod postgres;
mod sqlite;
mod tls;

use crate::error::StoreError;

pub(crate) use filter::Filter;
pub(crate) use postgres::{Address as PostgresAddress, Postgres};
pub(crate) use sqlite::Sqlite;

/// One connection.
pub(crate) enum Db {
    /// To a file, or in memory.
    Sqlite(Sqlite),
    /// To a server.
    Postgres(Box<Postgres>),
}

/// A value for a statement.
pub(crate) trait Param: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync {}

impl<T: rusqlite::ToSql + tokio_postgres::types::ToSql + Sync> Param for T {}

/// Values for one run of a statement, in the order of its placeholders.
pub(crate) type Params<'a> = &'a [&'a dyn Param];

/// A value of a row.
pub(crate) trait Column:
    rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a>
{
}

impl<T: rusqlite::types::FromSql + for<'a> tokio_postgres::types::FromSql<'a>> Column for T {}

/// One row of an answer.
pub(crate) enum Row<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

/// A value that is not what its column should hold.
pub(crate) struct Misread(pub(crate) String);

impl Row<'_> {
    /// The value of a column, counted from 0.
    pub(crate) fn get<T: Column>(&self, at: usize) -> Result<T, Misread> {
        match self {
            Row::Sqlite(row) => row.get(at).map_err(|error| Misread(error.to_string())),
            Row::Postgres(row) => row.try_get(at).map_err(|error| Misread(error.to_string())),
        }
    }

    /// The text of a column, where it lies.
    pub(crate) fn text(&self, at: usize) -> Result<&str, Misread> {
        match self {
            Row::Sqlite(row) => {
                let value = row.get_ref(at).map_err(|error| Misread(error.to_string()))?;
                value.as_str().map_err(|error| Misread(error.to_string()))
            }
            Row::Postgres(row) => row.try_get(at).map_err(|error| Misread(error.to_string())),
        }
    }

    /// The bytes of a column, where they lie.
    pub(crate) fn bytes(&self, at: usize) -> Result<&[u8], Misread> {
        match self {
            Row::Sqlite(row) => {
                let value = row.get_ref(at).map_err(|error| Misread(error.to_string()))?;
                value.as_blob().map_err(|error| Misread(error.to_string()))
            }
            Row::Postgres(row) => row.try_get(at).map_err(|error| Misread(error.to_string())),
        }
    }
}

impl Db {
    /// Runs a statement; answers how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        match self {
            Db::Sqlite(db) => db.execute(sql, params),
            Db::Postgres(db) => db.execute(sql, params),
        }
    }

    /// Runs a statement and reads every row of its answer.
    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        params: Params<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Db::Sqlite(db) => db.query(sql, params, read),
            Db::Postgres(db) => db.query(sql, params, read),
        }
    }

    /// The first row of an answer, where there is one.
    pub(crate) fn first<T>(
        &mut self,
        sql: &str,
        params: Params<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.query(sql, params, read)?.into_iter().next())
    }

    /// Runs one statement with each of many values, in their order, without waiting for one answer before the next
    /// question; answers the first row of each.
    pub(crate) fn first_of_each<'a, T>(
        &mut self,
        sql: &str,
        many: &[impl AsRef<[&'a dyn Param]>],
        read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        match self {
            Db::Sqlite(db) => db.first_of_each(sql, many, read),
            Db::Postgres(db) => db.first_of_each(sql, many, read),
        }
    }

    /// The greatest number that a column which the database numbers ever had.
    pub(crate) fn greatest_number(&mut self, table: &str, column: &str) -> Result<i64, StoreError> {
        let given = match self {
            Db::Sqlite(_) => format!("(SELECT seq FROM sqlite_sequence WHERE name = '{table}')"),
            Db::Postgres(_) => {
                format!("pg_sequence_last_value(pg_get_serial_sequence('{table}', '{column}')::regclass)")
            }
        };
        let sql = format!("SELECT {given}, (SELECT max({column}) FROM {table})");
        let found =
            self.first(&sql, &[], |row| Ok((row.get::<Option<i64>>(0)?, row.get::<Option<i64>>(1)?)))?;
        let (given, there) = found.unwrap_or_default();
        Ok(given.max(there).unwrap_or_default())
    }

    /// Goes on behind the numbers that rows came with. SQLite does so by itself; in Postgres it is not undone with the
    /// transaction.
    pub(crate) fn note_numbers(&mut self, table: &str, column: &str) -> Result<(), StoreError> {
        let greatest = self.greatest_number(table, column)?;
        if matches!(self, Db::Sqlite(_)) || greatest == 0 {
            return Ok(());
        }
        let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', '{column}'), {greatest})");
        self.query(&sql, &[], |_| Ok(())).map(drop)
    }

    /// Begins a transaction. One that is not durable survives the end of the process; a power cut may take it.
    pub(crate) fn begin(&mut self, durable: bool) -> Result<(), StoreError> {
        match self {
            Db::Sqlite(db) => db.begin(durable),
            Db::Postgres(db) => db.begin(durable),
        }
    }

    /// Ends the transaction; what was changed is kept.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        self.batch("COMMIT")?;
        if let Db::Sqlite(db) = self {
            db.end_erasing();
        }
        Ok(())
    }

    /// Ends the transaction where one is open; what was changed is not kept.
    pub(crate) fn rollback(&mut self) {
        // The error that led here is the one to tell.
        let _ = if self.is_in_transaction() { self.batch("ROLLBACK") } else { Ok(()) };
    }

    /// Does something whole or not at all, inside the transaction.
    pub(crate) fn whole<T>(
        &mut self,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.batch("SAVEPOINT one")?;
        match work(self) {
            Ok(done) => self.batch("RELEASE one").map(|()| done),
            Err(error) => {
                // Where the whole transaction is gone already, the first error tells why.
                let undone = self.batch("ROLLBACK TO one; RELEASE one");
                if self.is_in_transaction() { undone.and(Err(error)) } else { Err(error) }
            }
        }
    }

    /// Deletes or changes something of which nothing shall be left in the file. Postgres keeps old rows until its vacuum takes
    /// them, which it does by itself.
    pub(crate) fn erasing<T>(
        &mut self,
        work: impl FnOnce(&mut Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let Db::Sqlite(db) = self else { return work(self) };
        db.begin_erasing()?;
        let done = work(self);
        // Not always: whatever is deleted would be written once more.
        let reset = self.batch("PRAGMA secure_delete = OFF");
        done.and_then(|done| reset.map(|()| done))
    }

    /// Whether a transaction is open. SQLite ends one by itself where the disk fails; Postgres does not.
    pub(crate) fn is_in_transaction(&self) -> bool {
        match self {
            Db::Sqlite(db) => db.is_in_transaction(),
            Db::Postgres(_) => true,
        }
    }

    /// Whether the connection is lost, so that a new one is needed.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Db::Postgres(db) if db.is_lost())
    }

    fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        match self {
            Db::Sqlite(db) => db.batch(sql),
            Db::Postgres(db) => db.batch(sql),
        }
    }
}
