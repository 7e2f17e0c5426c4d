//! What is no count of records: read from the parts of the hub when somebody asks.

use std::time::Duration;

use puerto_core::Severity;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Services, counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Services {
    /// Those that are well.
    pub(crate) healthy: u32,
    /// All of them.
    pub(crate) total: u32,
    /// Share of those that are well, 0 to 100; 100 where there are none.
    pub(crate) uptime_percent: f64,
}

/// What the newest report of a test run says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tests {
    /// Some have passed and none has failed.
    Passing,
    /// Some have failed.
    Failing,
    /// Nobody has reported any, or nothing that can be read.
    Unknown,
}

impl Tests {
    /// As a number.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Tests::Passing => 1,
            Tests::Failing => 0,
            Tests::Unknown => -1,
        }
    }

    /// By the payload of an event of type `tests`.
    pub(crate) fn reported(payload: &str) -> Self {
        #[derive(Deserialize)]
        struct Report {
            passed: u64,
            failed: u64,
        }
        match serde_json::from_str(payload) {
            Ok(Report { failed: 1.., .. }) => Tests::Failing,
            Ok(Report { passed: 1.., .. }) => Tests::Passing,
            _ => Tests::Unknown,
        }
    }
}

/// What is read when somebody asks; what the store does not tell is `None`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Readings {
    /// Services.
    pub(crate) services: Services,
    /// Events that are kept.
    pub(crate) events: Option<i64>,
    /// Records of the audit trail.
    pub(crate) audits: Option<i64>,
    /// The newest report of a test run.
    pub(crate) tests: Tests,
    /// Time since a checkpoint stood for the whole audit trail.
    pub(crate) unsealed: Duration,
    /// Alerts that hold, by severity, the least first.
    pub(crate) firing: [usize; Severity::ALL.len()],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_tests_is_read() {
        for (payload, status) in [
            (r#"{"passed":3,"failed":0}"#, Tests::Passing),
            (r#"{"passed":3,"failed":1,"skipped":2}"#, Tests::Failing),
            (r#"{"passed":0,"failed":0}"#, Tests::Unknown),
            (r#"{"passed":"all"}"#, Tests::Unknown),
            ("null", Tests::Unknown),
        ] {
            assert_eq!(Tests::reported(payload), status, "{payload}");
        }
    }
}
