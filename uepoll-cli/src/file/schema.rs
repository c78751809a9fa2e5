//! The tables, their version, and how a file is told from others.

use rusqlite::Connection;

/// "uepo": tells our files from other SQLite databases, also for `file(1)`.
pub const APPLICATION_ID: i64 = 0x7565_706f;

/// Version of the tables; goes up with each change of them.
pub const VERSION: i64 = 1;

/// Name and definition of each table, as SQLite keeps the text.
pub const TABLES: [(&str, &str); 12] = [
    (
        "run",
        "CREATE TABLE run (
  number INTEGER PRIMARY KEY,
  tool TEXT NOT NULL,
  started_unix_ns INTEGER NOT NULL,
  started_mono_ns INTEGER NOT NULL,
  words TEXT NOT NULL,
  hostname TEXT NOT NULL,
  cpu_model TEXT NOT NULL,
  by_intervals INTEGER NOT NULL,
  byte_order TEXT NOT NULL,
  finished INTEGER NOT NULL
) STRICT",
    ),
    (
        "label",
        "CREATE TABLE label (
  run INTEGER NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (run, key)
) STRICT, WITHOUT ROWID",
    ),
    (
        "mitigation",
        "CREATE TABLE mitigation (
  run INTEGER NOT NULL,
  weakness TEXT NOT NULL,
  state TEXT NOT NULL,
  PRIMARY KEY (run, weakness)
) STRICT, WITHOUT ROWID",
    ),
    (
        "interval",
        "CREATE TABLE interval (
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  start_ns INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  kernel TEXT NOT NULL,
  cpus INTEGER NOT NULL,
  protocol TEXT NOT NULL,
  emulated INTEGER NOT NULL,
  records_missing INTEGER NOT NULL,
  capture BLOB NOT NULL,
  PRIMARY KEY (run, number)
) STRICT",
    ),
    (
        "checkpoint",
        "CREATE TABLE checkpoint (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  number INTEGER NOT NULL,
  duration_ns INTEGER NOT NULL,
  capture BLOB NOT NULL,
  PRIMARY KEY (run, interval, number)
) STRICT",
    ),
    (
        "block",
        "CREATE TABLE block (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  checkpoint INTEGER NOT NULL,
  number INTEGER NOT NULL,
  records INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (run, interval, checkpoint, number)
) STRICT",
    ),
    (
        "ring",
        "CREATE TABLE ring (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  ring INTEGER NOT NULL,
  pid INTEGER,
  comm TEXT,
  fd INTEGER,
  max_items INTEGER NOT NULL,
  items_used INTEGER,
  in_ring INTEGER,
  closed INTEGER NOT NULL,
  corrupt TEXT
) STRICT",
    ),
    (
        "figure",
        "CREATE TABLE figure (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  ring INTEGER NOT NULL,
  figure TEXT NOT NULL,
  part TEXT NOT NULL,
  value ANY,
  lo INTEGER,
  hi INTEGER,
  accuracy TEXT,
  absent TEXT
) STRICT",
    ),
    (
        "histogram",
        "CREATE TABLE histogram (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  ring INTEGER NOT NULL,
  histogram TEXT NOT NULL,
  count INTEGER NOT NULL,
  sum INTEGER NOT NULL,
  max INTEGER NOT NULL,
  buckets TEXT NOT NULL
) STRICT",
    ),
    (
        "loss",
        "CREATE TABLE loss (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  what TEXT NOT NULL,
  count INTEGER
) STRICT",
    ),
    (
        "plan",
        "CREATE TABLE plan (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  point TEXT NOT NULL,
  symbol TEXT NOT NULL,
  attached TEXT NOT NULL,
  why_not_better TEXT,
  lost TEXT
) STRICT",
    ),
    (
        "note",
        "CREATE TABLE note (
  run INTEGER NOT NULL,
  interval INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT",
    ),
];

/// What an SQLite database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing was put into it yet.
    Empty,
    /// Ours, of a version that we know.
    Ours,
    /// Ours, of a later one.
    Newer(i64),
    /// Something else, told by this.
    Other(String),
}

/// What this database is. Its tables are compared with ours word by word:
/// nothing that somebody else defined is ever executed.
///
/// # Errors
/// If it cannot be read.
pub fn kind_of(db: &Connection) -> rusqlite::Result<Kind> {
    let application: i64 = db.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let mut statement = db.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema")?;
    let rows = statement.query_map([], |row| {
        let text = |at| row.get::<_, Option<String>>(at);
        Ok((text(0)?, text(1)?, text(2)?, text(3)?))
    })?;
    let defined = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    if application != APPLICATION_ID {
        return Ok(if application == 0 && version == 0 && defined.is_empty() {
            Kind::Empty
        } else {
            Kind::Other("a database of another program".into())
        });
    }
    if version > VERSION {
        return Ok(Kind::Newer(version));
    }
    if version < 1 {
        return Ok(Kind::Other(format!("its format is {version}")));
    }
    for (name, sql) in TABLES {
        let same = |row: &&(Option<String>, Option<String>, Option<String>, Option<String>)| {
            row.0.as_deref() == Some("table")
                && row.1.as_deref() == Some(name)
                && row.3.as_deref() == Some(sql)
        };
        if !defined.iter().any(|row| same(&row)) {
            return Ok(Kind::Other(format!("its table {name} is not what it should be")));
        }
    }
    // An index of a table's own key has no text; whatever else is tied to our
    // tables is not from us.
    let foreign = defined.iter().find(|(kind, _, table, sql)| {
        let ours = TABLES.iter().any(|(name, _)| table.as_deref() == Some(*name));
        ours && kind.as_deref() != Some("table") && sql.is_some()
    });
    Ok(match foreign {
        Some((_, name, ..)) => {
            Kind::Other(format!("{} was added to it", name.as_deref().unwrap_or("something")))
        }
        None => Kind::Ours,
    })
}

/// Makes the tables, all or none.
///
/// # Errors
/// If they cannot be written.
pub fn create(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Two recorders may have found the file empty: the first one makes them.
    if kind_of(&transaction)? == Kind::Empty {
        for (_, sql) in TABLES {
            transaction.execute_batch(sql)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    transaction.commit()
}
