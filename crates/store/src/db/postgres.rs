//! A connection to a Postgres server, used like one to SQLite: by one thread that waits for each answer. What is
//! ours lies in the schema `puerto`, beside whatever else the database holds.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Statement};

use super::{Misread, Param, Params, Row, tls};
use crate::error::StoreError;
use crate::migrations::{self, MIGRATIONS};

/// Longest time to reach the server. A start of the hub waits for it.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest silence of the server while it owes an answer, after which the connection counts as lost.
const SILENCE: Duration = Duration::from_secs(15);

/// Statements that a connection keeps ready; beyond it all are prepared anew.
const STATEMENTS_KEPT: usize = 128;

/// Names the lock that makes commits of several hubs follow each other, so that numbers become visible in their order
/// and the audit trail has one end. The number is `PUER`, as in a file's mark.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1347765586)";

/// Where a server is, and what it is called in messages: without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    config: Config,
    verified: bool,
    /// As in messages.
    pub(crate) shown: Box<str>,
}

impl Address {
    /// Reads `postgres://user:password@host:port/name?sslmode=…`. As with other clients `prefer` (the default) and
    /// `require` encrypt without asking who the server is; `verify-full` and `verify-ca` ask for a certificate
    /// that the system trusts.
    pub(crate) fn parse(url: &str) -> Result<Self, StoreError> {
        let verified =
            ["verify-full", "verify-ca"].iter().any(|mode| url.contains(&format!("sslmode={mode}")));
        let plain = url
            .replace("sslmode=verify-full", "sslmode=require")
            .replace("sslmode=verify-ca", "sslmode=require");
        // The driver's error may quote what it could not read, the password among it.
        let mut config: Config =
            plain.parse().map_err(|_| StoreError::Url { url: "postgres://…".into() })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        config.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE).application_name("puerto");
        let host = config.get_hosts().first().map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        });
        let shown = format!(
            "postgres://{}:{}/{}",
            host.unwrap_or_default(),
            config.get_ports().first().copied().unwrap_or(5432),
            config.get_dbname().or(config.get_user()).unwrap_or_default(),
        );
        Ok(Self { config, verified, shown: shown.into() })
    }
}

/// The connection.
pub(crate) struct Postgres {
    /// Always there but while it is dropped.
    runtime: Option<Runtime>,
    client: Client,
    statements: HashMap<Box<str>, Statement>,
    place: Box<str>,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A runtime may be dropped anywhere only like this; nobody waits for its one task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Postgres {
    /// Connects for writing; makes schema and tables as needed.
    pub(crate) fn writer(address: &Address) -> Result<Self, StoreError> {
        let mut db = Self::connect(address)?;
        db.migrate()?;
        Ok(db)
    }

    /// Connects for reading only.
    pub(crate) fn reader(address: &Address) -> Result<Self, StoreError> {
        let mut db = Self::connect(address)?;
        db.batch("SET search_path TO puerto; SET default_transaction_read_only TO on")?;
        Ok(db)
    }

    /// Connects, and changes nothing.
    pub(crate) fn connect(address: &Address) -> Result<Self, StoreError> {
        let failed = |why: String| StoreError::Unreachable { place: address.shown.clone(), why };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| failed(error.to_string()))?;
        let connecting = address.config.connect(tls::connector(address.verified));
        let (client, connection) = runtime.block_on(connecting).map_err(|error| failed(reason(&error)))?;
        runtime.spawn(async move {
            // How it ended is told to whoever asks the next question.
            let _ = connection.await;
        });
        Ok(Self { runtime: Some(runtime), client, statements: HashMap::new(), place: address.shown.clone() })
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        self.batch("SET lock_timeout TO '5s'; BEGIN")?;
        self.batch(LOCK)?;
        let exists = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'puerto'";
        let is_there = self.query(exists, &[], |row| row.get::<i64>(0))?.first() == Some(&1);
        if !is_there {
            self.batch("CREATE SCHEMA puerto; CREATE TABLE puerto.version (number BIGINT NOT NULL); INSERT INTO puerto.version VALUES (0)")?;
        }
        self.batch("SET search_path TO puerto")?;
        let found = self.query("SELECT number FROM version", &[], |row| row.get::<i64>(0));
        let Some(found) = found.ok().and_then(|rows| rows.first().copied()) else {
            return Err(StoreError::Foreign { place: format!("the schema puerto of {}", self.place).into() });
        };
        let known = MIGRATIONS.len() as i64;
        if found > known {
            return Err(StoreError::Newer { place: self.place.clone(), found, known });
        }
        for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
            self.batch(&migrations::for_postgres(migration))?;
        }
        self.execute("UPDATE version SET number = ?1", &[&known])?;
        self.batch("COMMIT")
    }

    pub(crate) fn execute(&mut self, sql: &str, params: Params<'_>) -> Result<u64, StoreError> {
        let statement = self.prepare(sql)?;
        let params: Vec<_> = params.iter().map(|&param| param as &(dyn ToSql + Sync)).collect();
        self.wait(|client| client.execute(&statement, &params))
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        params: Params<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, StoreError> {
        let statement = self.prepare(sql)?;
        let params: Vec<_> = params.iter().map(|&param| param as &(dyn ToSql + Sync)).collect();
        let rows = self.wait(|client| client.query(&statement, &params))?;
        rows.iter().map(|row| self.read(row, &mut read)).collect()
    }

    pub(crate) fn first_of_each<'a, T>(
        &mut self,
        sql: &str,
        many: &[impl AsRef<[&'a dyn Param]>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        let statement = self.prepare(sql)?;
        let many: Vec<Vec<_>> = many
            .iter()
            .map(|params| params.as_ref().iter().map(|&param| param as &(dyn ToSql + Sync)).collect())
            .collect();
        // Questions that are asked at the same time go out together and are answered in their order.
        let answers =
            self.wait(|client| try_join_all(many.iter().map(|params| client.query(&statement, params))))?;
        answers.iter().map(|rows| rows.first().map(|row| self.read(row, &mut read)).transpose()).collect()
    }

    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        self.wait(|client| client.batch_execute(sql))
    }

    pub(crate) fn begin(&mut self, durable: bool) -> Result<(), StoreError> {
        let level = if durable { "on" } else { "off" };
        self.batch(&format!("BEGIN; SET LOCAL synchronous_commit TO {level}; {LOCK}"))
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.client.is_closed()
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let text = sql.replace('?', "$");
        let statement = self.wait(|client| client.prepare(&text))?;
        if self.statements.len() >= STATEMENTS_KEPT {
            self.statements.clear();
        }
        self.statements.insert(sql.into(), statement.clone());
        Ok(statement)
    }

    fn wait<'a, T, F>(&'a self, ask: impl FnOnce(&'a Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let Some(runtime) = &self.runtime else { return Err(StoreError::Closed) };
        runtime.block_on(ask(&self.client)).map_err(|error| self.sorted(&error))
    }

    fn read<T>(
        &self,
        row: &tokio_postgres::Row,
        read: &mut impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<T, StoreError> {
        read(&Row::Postgres(row)).map_err(|Misread(why)| StoreError::Sql { place: self.place.clone(), why })
    }

    /// Sorts an error by what the operator can do about it.
    fn sorted(&self, error: &tokio_postgres::Error) -> StoreError {
        let place = self.place.clone();
        match error.code() {
            Some(code) if *code == SqlState::DISK_FULL => StoreError::Full { place },
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly { place },
            Some(code) if *code == SqlState::LOCK_NOT_AVAILABLE => StoreError::Locked { place },
            Some(_) => StoreError::Sql { place, why: reason(error) },
            None => StoreError::Unreachable { place, why: reason(error) },
        }
    }
}

/// What the server says, or what became of the connection, with its causes.
fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said.message().to_owned();
    }
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
