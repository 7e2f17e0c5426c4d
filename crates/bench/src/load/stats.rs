//! What a measurement says: rates, percentiles, CPU time and memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Era, Plan, Scenario};

/// One measurement. Times are in microseconds, sizes in bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) scenario: Scenario,
    pub(crate) era: Era,
    pub(crate) connections: usize,
    pub(crate) calls: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Always 0: a wrong answer ends the measurement.
    pub(crate) errors: u64,
    /// CPU time of the measured processes per call.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) rss: Option<u64>,
    /// The largest resident memory within the window.
    pub(crate) rss_peak: Option<u64>,
}

impl Report {
    pub(super) fn new(plan: &Plan, calls: u64, seconds: f64, mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        let Plan { scenario, era, connections, .. } = *plan;
        Self {
            scenario,
            era,
            connections,
            calls,
            seconds,
            per_second: calls as f64 / seconds,
            p50_us: percentile(&nanoseconds, 50.0) as f64 / 1e3,
            p99_us: percentile(&nanoseconds, 99.0) as f64 / 1e3,
            errors: 0,
            cpu_us: None,
            rss: None,
            rss_peak: None,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, seconds, per_second, p50_us, p99_us, errors, .. } = self;
        write!(
            f,
            "{calls} calls in {seconds:.1} s, {per_second:.0}/s, p50 {p50_us:.0} µs, p99 {p99_us:.0} µs, "
        )?;
        write!(f, "errors {errors}")?;
        if let Some(cpu_us) = self.cpu_us {
            write!(f, ", CPU {cpu_us:.1} µs/call")?;
        }
        for (name, bytes) in [("RSS", self.rss), ("peak RSS", self.rss_peak)] {
            if let Some(bytes) = bytes {
                write!(f, ", {name} {:.1} MiB", bytes as f64 / f64::from(1 << 20))?;
            }
        }
        Ok(())
    }
}

/// The smallest of the sorted `values` that at least `percent` of them do not exceed.
pub(super) fn percentile(values: &[u64], percent: f64) -> u64 {
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// The middle of `values`, or the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let hundred: Vec<u64> = (1..=100).collect();
        for (values, percent, expected) in [
            (&hundred[..], 50.0, 50),
            (&hundred[..], 99.0, 99),
            (&hundred[..], 100.0, 100),
            (&[7][..], 50.0, 7),
            (&[1, 2][..], 50.0, 1),
            (&[1, 2][..], 99.0, 2),
            (&[1, 2, 3][..], 50.0, 2),
            (&[][..], 50.0, 0),
        ] {
            assert_eq!(percentile(values, percent), expected);
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
