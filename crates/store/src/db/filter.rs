//! A question whose conditions are put together from what the asker wants to know.

use super::{Db, Misread, Param, Row};
use crate::error::StoreError;

/// Conditions that all have to hold, with their values.
#[derive(Default)]
pub(crate) struct Filter<'a> {
    sql: String,
    params: Vec<Box<dyn Param + 'a>>,
}

impl<'a> Filter<'a> {
    /// Adds a condition; each `?` in it stands for the value.
    pub(crate) fn and(&mut self, condition: &str, value: impl Param + 'a) {
        let place = self.value(value);
        self.word(&condition.replace('?', &place));
    }

    /// Takes in a value; answers what stands for it in a condition.
    pub(crate) fn value(&mut self, value: impl Param + 'a) -> String {
        self.params.push(Box::new(value));
        format!("?{}", self.params.len())
    }

    /// Adds a condition without a value.
    pub(crate) fn word(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    /// Asks, with what stands before and after the conditions.
    pub(crate) fn query<T>(
        &self,
        db: &mut Db,
        before: &str,
        after: &str,
        read: impl FnMut(&Row<'_>) -> Result<T, Misread>,
    ) -> Result<Vec<T>, StoreError> {
        let params: Vec<&dyn Param> = self.params.iter().map(|param| &**param as &dyn Param).collect();
        db.query(&format!("{before}{} {after}", self.sql), &params, read)
    }
}
