//! Text functions that take time in proportion to their input. SQLite's own `trim`, `replace` and
//! `instr` take text times pattern and look at neither deadline nor interrupt: two texts of a megabyte
//! keep `trim` busy for the better part of an hour. These give the same answers.

use std::borrow::Cow;
use std::collections::HashSet;

use memchr::memmem;
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error, Result};

/// Puts our functions in the place of SQLite's.
pub(super) fn install(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        // Allowed in views, generated columns and checks of a schema that is not trusted.
        | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function(c"trim", 2, flags, |context| trim(context, true, true))?;
    connection.create_scalar_function(c"ltrim", 2, flags, |context| trim(context, true, false))?;
    connection.create_scalar_function(c"rtrim", 2, flags, |context| trim(context, false, true))?;
    connection.create_scalar_function(c"replace", 3, flags, replace)?;
    connection.create_scalar_function(c"instr", 2, flags, instr)?;
    connection.create_scalar_function(c"unhex", 2, flags, |_| -> Result<Value> {
        Err(refused("unhex() with two arguments is not allowed; take the separators out with replace()"))
    })
}

fn refused(text: &'static str) -> Error {
    Error::UserFunctionError(text.into())
}

/// An argument as text, nothing for NULL. As SQLite converts it, except that a real keeps all its digits
/// where SQLite rounds to 15.
fn text<'a>(context: &'a Context<'_>, index: usize) -> Option<Cow<'a, str>> {
    match context.get_raw(index) {
        ValueRef::Null => None,
        ValueRef::Integer(n) => Some(n.to_string().into()),
        ValueRef::Real(n) => Some(format!("{n:?}").into()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes)),
    }
}

fn trim(context: &Context<'_>, left: bool, right: bool) -> Result<Option<String>> {
    let (Some(whole), Some(set)) = (text(context, 0), text(context, 1)) else { return Ok(None) };
    let set: HashSet<char> = set.chars().collect();
    let mut rest = &*whole;
    if left {
        rest = rest.trim_start_matches(|one| set.contains(&one));
    }
    if right {
        rest = rest.trim_end_matches(|one| set.contains(&one));
    }
    Ok(Some(rest.to_owned()))
}

fn replace(context: &Context<'_>) -> Result<Option<String>> {
    let (Some(whole), Some(old)) = (text(context, 0), text(context, 1)) else { return Ok(None) };
    // Before the third is looked at: nothing to replace is not NULL to SQLite, whatever it is replaced by.
    if old.is_empty() || old.starts_with('\0') {
        return Ok(Some(whole.into_owned()));
    }
    let Some(new) = text(context, 2) else { return Ok(None) };
    let finder = memmem::Finder::new(old.as_bytes());
    let count = finder.find_iter(whole.as_bytes()).count();
    // Known before it is built, because memory is what a limit is for.
    let size = (whole.len() - count * old.len()).saturating_add(count.saturating_mul(new.len()));
    if size > super::guard::LENGTH_BYTES_MAX {
        return Err(refused("string or blob too big: the result of replace()"));
    }
    let mut out = String::with_capacity(size);
    let mut from = 0;
    for at in finder.find_iter(whole.as_bytes()) {
        out.push_str(&whole[from..at]);
        out.push_str(&new);
        from = at + old.len();
    }
    out.push_str(&whole[from..]);
    Ok(Some(out))
}

fn instr(context: &Context<'_>) -> Result<Option<i64>> {
    if let (ValueRef::Blob(whole), ValueRef::Blob(part)) = (context.get_raw(0), context.get_raw(1)) {
        return Ok(Some(memmem::find(whole, part).map_or(0, |at| at as i64 + 1)));
    }
    let (Some(whole), Some(part)) = (text(context, 0), text(context, 1)) else { return Ok(None) };
    let at = memmem::find(whole.as_bytes(), part.as_bytes());
    Ok(Some(at.map_or(0, |at| whole[..at].chars().count() as i64 + 1)))
}

#[cfg(test)]
mod tests;
