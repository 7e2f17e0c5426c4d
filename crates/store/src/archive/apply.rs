//! Takes over what was staged: one change of the store, whole or not at all. Sets of rows are moved by the database
//! itself, since everybody else's changes wait for it.

use std::collections::BTreeMap;

use super::section::{Owner, SECTIONS, Section};
use super::{Mode, Taken};
use crate::db::{Db, Param};
use crate::error::StoreError;

/// Adds the rows of the sections that an archive has, where the mode says so in place of what is there. `of` is the tenant that
/// all of it belongs to. Of a dry run everything is undone by the caller.
pub(crate) fn sections(
    db: &mut Db,
    mode: Mode,
    of: Option<&str>,
    records: &BTreeMap<&'static str, u64>,
) -> Result<Vec<Taken>, StoreError> {
    let here = || SECTIONS.iter().filter(|section| records.contains_key(section.name));
    let mut removed = BTreeMap::new();
    if mode == Mode::Replace {
        // What belongs to another goes before it, and with it where the archive has none.
        let goes = |section: &&Section| match &section.owner {
            Owner::Row { section: of, .. } => records.contains_key(of.name),
            Owner::Tenant | Owner::Hub => records.contains_key(section.name),
        };
        for section in SECTIONS.iter().rev().filter(goes) {
            removed.insert(section.name, remove(db, section, of)?);
        }
    }
    let (mut shifts, mut taken) = (BTreeMap::new(), Vec::new());
    for section in here() {
        if let Some(tidy) = section.tidy {
            db.execute(tidy, &[])?;
        }
        let shift = drop_present(db, section)?;
        shifts.insert(section.name, shift);
        let added = add(db, section, &shifts)?;
        if let Some(limit) = section.of_tenant_max {
            bounded(db, section, limit)?;
        }
        let records = records.get(section.name).copied().unwrap_or_default();
        taken.push(Taken {
            section: section.name,
            segment: None,
            records,
            added,
            present: records - added.min(records),
            removed: removed.get(section.name).copied().unwrap_or_default(),
        });
    }
    Ok(taken)
}

/// Deletes what an archive replaces.
fn remove(db: &mut Db, section: &Section, of: Option<&str>) -> Result<u64, StoreError> {
    let Section { name, .. } = section;
    if let Some(later) = section.later {
        let [key] = section.key else { return Ok(0) };
        let newer = format!(
            "SELECT s.{later} FROM staged_{name} AS s WHERE s.{key} = {name}.{key} AND s.{later} > {name}.{later}"
        );
        db.execute(&format!("UPDATE {name} SET {later} = ({newer}) WHERE EXISTS ({newer})"), &[])?;
        return Ok(0);
    }
    let tenant: Vec<&dyn Param> = of.iter().map(|of| of as &dyn Param).collect();
    for table in section.with_it {
        let of = if tenant.is_empty() { "" } else { "WHERE tenant = ?1" };
        db.execute(&format!("DELETE FROM {table} {of}"), &tenant)?;
    }
    db.execute(&format!("DELETE FROM {name} WHERE {}", replaceable(section, !tenant.is_empty())), &tenant)
}

/// The condition of what may be replaced, of one tenant (`?1`) or of all.
fn replaceable(section: &Section, of_one: bool) -> String {
    let stays = section.stays.map_or("1 = 1".to_owned(), |stays| format!("NOT ({stays})"));
    match &section.owner {
        Owner::Row { column, section: of } => {
            let number = of.number.unwrap_or_default();
            format!("{column} IN (SELECT {number} FROM {} WHERE {})", of.name, replaceable(of, of_one))
        }
        Owner::Tenant if of_one => format!("tenant = ?1 AND {stays}"),
        Owner::Tenant | Owner::Hub => stays,
    }
}

/// Takes those out that are there already. Answers by how much the numbers of the others are shifted: not at all where
/// all of them are free, else behind the greatest that was ever given.
fn drop_present(db: &mut Db, section: &Section) -> Result<i64, StoreError> {
    let Section { name, .. } = section;
    if !matches!(section.owner, Owner::Row { .. }) {
        let same = section.is_same("a", "b");
        db.execute(
            &format!("DELETE FROM staged_{name} AS a WHERE EXISTS (SELECT 1 FROM {name} AS b WHERE {same})"),
            &[],
        )?;
    }
    let Some(number) = section.number else { return Ok(0) };
    let taken = format!(
        "SELECT s.{number} FROM staged_{name} AS s JOIN {name} AS t ON t.{number} = s.{number} LIMIT 1"
    );
    if db.first(&taken, &[], |row| row.get::<i64>(0))?.is_none() {
        return Ok(0);
    }
    let least = format!("SELECT min({number}) FROM staged_{name}");
    let least = db.first(&least, &[], |row| row.get::<Option<i64>>(0))?.flatten().unwrap_or_default();
    Ok(db.greatest_number(name, number)? + 1 - least)
}

/// Adds what is staged of a section.
fn add(db: &mut Db, section: &Section, shifts: &BTreeMap<&str, i64>) -> Result<u64, StoreError> {
    let Section { name, .. } = section;
    let shift_of = |section: &str| shifts.get(section).copied().unwrap_or_default();
    let (shift, only) = match &section.owner {
        Owner::Row { column, section: of } => {
            let number = of.number.unwrap_or_default();
            let only =
                format!("WHERE EXISTS (SELECT 1 FROM staged_{} AS o WHERE o.{number} = s.{column})", of.name);
            (Some((*column, shift_of(of.name))), only)
        }
        Owner::Tenant | Owner::Hub => (section.number.map(|number| (number, shift_of(name))), String::new()),
    };
    let values = section.columns.iter().map(|column| match shift {
        Some((shifted, by)) if shifted == column.name && by != 0 => format!("s.{shifted} + ({by})"),
        _ => format!("s.{}", column.name),
    });
    let fixed = section.fixed.iter().map(|(_, value)| (*value).to_owned());
    let values = values.chain(fixed).collect::<Vec<_>>().join(", ");
    let names = section.fixed.iter().fold(section.names(), |names, (name, _)| format!("{names}, {name}"));
    db.execute(&format!("INSERT INTO {name} ({names}) SELECT {values} FROM staged_{name} AS s {only}"), &[])
}

/// Lets the database go on behind the numbers that rows were added with. Not undone with the transaction everywhere, so it is
/// no part of a dry run.
pub(crate) fn note_numbers(db: &mut Db) -> Result<(), StoreError> {
    let numbered = SECTIONS.iter().filter_map(|section| Some((section.name, section.number?)));
    numbered.into_iter().try_for_each(|(name, number)| db.note_numbers(name, number))
}

/// Refuses what would give a tenant more rows than it may have.
fn bounded(db: &mut Db, section: &Section, limit: i64) -> Result<(), StoreError> {
    let sql =
        format!("SELECT tenant FROM {} GROUP BY tenant HAVING count(*) > {limit} LIMIT 1", section.name);
    match db.first(&sql, &[], |row| row.get::<String>(0))? {
        None => Ok(()),
        Some(_) => Err(StoreError::Crowded { what: section.name, limit }),
    }
}

/// The number of a staged row whose owner the archive does not hold.
pub(crate) fn orphan(db: &mut Db, section: &Section) -> Result<Option<i64>, StoreError> {
    let Owner::Row { column, section: of } = &section.owner else { return Ok(None) };
    let (name, number, owner) = (section.name, of.number.unwrap_or_default(), of.name);
    let known = format!("SELECT 1 FROM staged_{owner} AS o WHERE o.{number} = s.{column}");
    let sql = format!("SELECT s.{column} FROM staged_{name} AS s WHERE NOT EXISTS ({known}) LIMIT 1");
    db.first(&sql, &[], |row| row.get(0))
}
