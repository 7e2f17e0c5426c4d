//! Where an archive waits until all of it was read: temporary tables of the writing connection. They are filled in small
//! pieces, between which everybody else's changes are made, and nobody sees them. They go with the connection, so a hub
//! that is killed leaves nothing of a half import.

use super::section::{SECTIONS, Section, Value};
use super::trail::STAGED_TRAILS;
use crate::db::{Db, Param};
use crate::error::StoreError;

/// Makes the tables anew, empty.
pub(crate) fn begin(db: &mut Db) -> Result<(), StoreError> {
    end(db)?;
    for section in SECTIONS {
        let Section { name, .. } = section;
        let names = section.names();
        db.execute(
            &format!("CREATE TEMPORARY TABLE staged_{name} AS SELECT {names} FROM {name} LIMIT 0"),
            &[],
        )?;
        // What stands twice in an archive is refused as soon as it is read.
        let each = section.key.iter().map(|key| format!("({key})")).collect::<Vec<_>>().join(", ");
        let unique = if section.may_repeat { "" } else { "UNIQUE " };
        db.execute(&format!("CREATE {unique}INDEX staged_{name}_key ON staged_{name} ({each})"), &[])?;
        if let Some(number) = section.number {
            db.execute(
                &format!("CREATE UNIQUE INDEX staged_{name}_number ON staged_{name} ({number})"),
                &[],
            )?;
        }
    }
    db.execute(STAGED_TRAILS, &[])?;
    db.execute("CREATE UNIQUE INDEX staged_audit_place ON staged_audit (segment, place)", &[]).map(drop)
}

/// Drops them.
pub(crate) fn end(db: &mut Db) -> Result<(), StoreError> {
    let names = SECTIONS.iter().map(|section| section.name).chain(["audit"]);
    for name in names {
        db.execute(&format!("DROP TABLE IF EXISTS staged_{name}"), &[])?;
    }
    Ok(())
}

/// Puts rows into the table of their section; answers the place of the first one that was there already.
pub(crate) fn rows(db: &mut Db, section: &Section, rows: &[Vec<Value>]) -> Result<Option<usize>, StoreError> {
    let places = (1..=section.columns.len()).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let (name, names) = (section.name, section.names());
    let first = section.columns.first().map_or("1", |column| column.name);
    let sql = format!(
        "INSERT INTO staged_{name} ({names}) VALUES ({places}) ON CONFLICT DO NOTHING RETURNING {first}"
    );
    let many: Vec<Vec<&dyn Param>> = rows.iter().map(|row| row.iter().map(Value::param).collect()).collect();
    let kept = db.first_of_each(&sql, &many, |_| Ok(()))?;
    Ok(kept.iter().position(Option::is_none))
}
