//! The steps that bring a database to the newest version, in the dialect of SQLite; and the few words that
//! Postgres has for other ones.

/// One step each; their number is the version of the data. Never edit one that was released.
pub(crate) const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE records (
        id INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        request INTEGER NOT NULL,
        trace_high INTEGER NOT NULL,
        trace_low INTEGER NOT NULL,
        span INTEGER NOT NULL,
        kind TEXT NOT NULL,
        tenant TEXT NOT NULL,
        caller TEXT NOT NULL,
        client TEXT,
        protocol TEXT,
        server TEXT,
        object TEXT,
        outcome TEXT NOT NULL,
        origin TEXT,
        duration INTEGER NOT NULL,
        bytes_in INTEGER NOT NULL,
        bytes_out INTEGER NOT NULL,
        detail TEXT
    );
    CREATE TABLE catalogs (
        tenant TEXT NOT NULL,
        server TEXT NOT NULL,
        at INTEGER NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (tenant, server)
    ) STRICT;
    CREATE TABLE keys (
        name TEXT PRIMARY KEY,
        at INTEGER NOT NULL,
        value BLOB NOT NULL
    ) STRICT;
    ",
    // Numbers are never given twice, also when all rows are gone: readers go on where they were.
    "
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        kind TEXT NOT NULL,
        severity INTEGER NOT NULL,
        subject TEXT,
        at INTEGER NOT NULL,
        time INTEGER,
        payload TEXT NOT NULL,
        extensions TEXT
    ) STRICT;
    CREATE UNIQUE INDEX events_id ON events (tenant, source, id);
    CREATE INDEX events_tenant ON events (tenant, seq);
    CREATE INDEX events_kind ON events (kind, seq);
    CREATE INDEX events_grave ON events (seq) WHERE severity >= 1;
    CREATE TABLE requests (
        tenant TEXT NOT NULL,
        key TEXT NOT NULL,
        at INTEGER NOT NULL,
        digest BLOB NOT NULL,
        answer TEXT NOT NULL,
        PRIMARY KEY (tenant, key)
    ) STRICT;
    CREATE INDEX requests_at ON requests (at);
    ",
    // `records` became `audit`: the same acts, each chained to all before it.
    "
    DROP TABLE records;
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        at INTEGER NOT NULL,
        phase TEXT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        server TEXT,
        leaf BLOB NOT NULL,
        document TEXT NOT NULL,
        salt BLOB
    ) STRICT;
    CREATE TABLE audit_head (
        one INTEGER PRIMARY KEY,
        size INTEGER NOT NULL,
        roots BLOB NOT NULL
    ) STRICT;
    ",
    "
    CREATE TABLE checks (
        tenant TEXT NOT NULL,
        service TEXT NOT NULL,
        span INTEGER NOT NULL,
        start INTEGER NOT NULL,
        good INTEGER NOT NULL,
        bad INTEGER NOT NULL,
        unknown INTEGER NOT NULL,
        total_us INTEGER NOT NULL,
        longest_us INTEGER NOT NULL,
        PRIMARY KEY (span, tenant, service, start)
    ) STRICT;
    ",
    // What is registered, and task lists that run in the background.
    "
    CREATE TABLE registrations (
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        registered INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        data TEXT NOT NULL,
        PRIMARY KEY (tenant, kind, name)
    ) STRICT;
    CREATE TABLE tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        priority INTEGER NOT NULL,
        status TEXT NOT NULL,
        file TEXT,
        schedule TEXT,
        created INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER,
        total INTEGER NOT NULL,
        good INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        error TEXT,
        cancelling INTEGER NOT NULL,
        concurrency INTEGER NOT NULL,
        keep_going INTEGER NOT NULL,
        owner TEXT NOT NULL,
        beat INTEGER NOT NULL,
        list TEXT NOT NULL
    ) STRICT;
    CREATE INDEX tasks_tenant ON tasks (tenant, id);
    CREATE INDEX tasks_queued ON tasks (priority, id) WHERE status = 'queued';
    CREATE INDEX tasks_running ON tasks (id) WHERE status = 'running';
    CREATE TABLE task_items (
        task INTEGER NOT NULL,
        place INTEGER NOT NULL,
        server TEXT NOT NULL,
        action TEXT NOT NULL,
        error TEXT,
        duration INTEGER NOT NULL,
        PRIMARY KEY (task, place)
    ) STRICT;
    CREATE TABLE schedules (
        name TEXT PRIMARY KEY,
        fired INTEGER NOT NULL
    ) STRICT;
    ",
    // What is told of alerts, and the state that it follows from. What waits is looked for by when it is due, and by the
    // line that it stands in.
    "
    CREATE TABLE alerts (
        one INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        document TEXT NOT NULL
    ) STRICT;
    CREATE TABLE notices (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL,
        tenant TEXT NOT NULL,
        channel TEXT NOT NULL,
        line TEXT NOT NULL,
        document TEXT NOT NULL,
        state TEXT NOT NULL,
        decided INTEGER NOT NULL,
        since INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        next INTEGER NOT NULL,
        claimed INTEGER NOT NULL,
        error TEXT,
        ended INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX notices_key ON notices (key);
    CREATE INDEX notices_tenant ON notices (tenant, seq);
    CREATE INDEX notices_due ON notices (next, seq) WHERE state = 'waiting';
    CREATE INDEX notices_line ON notices (tenant, channel, line, seq) WHERE state = 'waiting';
    CREATE INDEX notices_over ON notices (seq) WHERE state <> 'waiting';
    ",
    // Audit trails that came with archives: each is a tree of its own. A row is a record, or the root of some that are not shown.
    "
    CREATE TABLE audit_segments (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        imported INTEGER NOT NULL,
        tenant TEXT,
        key TEXT NOT NULL,
        records INTEGER NOT NULL,
        root BLOB NOT NULL,
        checkpoints TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX audit_segments_name ON audit_segments (name);
    CREATE TABLE audit_segment_rows (
        segment INTEGER NOT NULL,
        place INTEGER NOT NULL,
        tenant TEXT NOT NULL,
        at INTEGER NOT NULL,
        phase TEXT NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        server TEXT,
        height INTEGER NOT NULL,
        leaf BLOB NOT NULL,
        document TEXT,
        PRIMARY KEY (segment, place)
    ) STRICT;
    CREATE INDEX tasks_came ON tasks (tenant, name, (created / 1000));
    ",
    // Services that were defined by API. What is secret stands by itself: archives leave that column out.
    "
    CREATE TABLE services (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        at INTEGER NOT NULL,
        document TEXT NOT NULL,
        has_secrets INTEGER NOT NULL,
        secrets TEXT,
        PRIMARY KEY (tenant, name)
    ) STRICT;
    ",
    // Records of one commit became one row (`audit/block.rs`); those that were rows before stay alone in theirs.
    "
    CREATE TABLE audit_blocks (
        first INTEGER PRIMARY KEY,
        oldest INTEGER NOT NULL,
        newest INTEGER NOT NULL,
        leaves BLOB NOT NULL,
        salts BLOB NOT NULL,
        documents TEXT NOT NULL
    ) STRICT;
    CREATE TABLE audit_counts (
        tenant TEXT PRIMARY KEY,
        records INTEGER NOT NULL
    ) STRICT;
    INSERT INTO audit_blocks SELECT seq, at, at, leaf, coalesce(salt, substr(leaf, 1, 0)), document FROM audit ORDER BY seq;
    INSERT INTO audit_counts SELECT tenant, count(*) FROM audit GROUP BY tenant;
    DROP TABLE audit;
    ",
    // Arguments and results, sealed, of tenants that keep them. Beside the trail, so that they can go.
    "
    CREATE TABLE audit_texts (
        seq INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        at INTEGER NOT NULL,
        arguments BLOB,
        result BLOB
    ) STRICT;
    CREATE INDEX audit_texts_age ON audit_texts (tenant, at);
    ",
    // Texts of blocks are packed (`audit/packed.rs`); those that stood there as they are stay so.
    "
    ALTER TABLE audit_blocks ADD COLUMN packed BLOB NOT NULL DEFAULT X'';
    ",
];

/// A step in the dialect of Postgres. Its numbers are given by the server and not taken from the rows, as in SQLite
/// where a row names none.
pub(crate) fn for_postgres(step: &str) -> String {
    step.replace("INTEGER PRIMARY KEY AUTOINCREMENT", "INTEGER PRIMARY KEY")
        .replace("INTEGER PRIMARY KEY", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY")
        .replace("INTEGER", "BIGINT")
        .replace("REAL", "DOUBLE PRECISION")
        .replace("BLOB", "BYTEA")
        .replace("X''", "''")
        .replace(") STRICT;", ");")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_of_sqlite_alone_has_one_of_postgres() {
        for step in MIGRATIONS {
            let text = for_postgres(step);
            for word in ["INTEGER", "AUTOINCREMENT", "STRICT", "BLOB", "REAL", "X''"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}
