//! Sums of checks by the minute, by the hour and by the day: how often a service was good, and how long it took. The checks
//! themselves are not kept.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use puerto_core::{ServiceName, TenantId};

use crate::db::{Db, Filter, Misread, Param, Row};
use crate::error::StoreError;
use crate::store::{Scope, Store, micros};

/// A length of the sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// A minute; kept for two days.
    Minute,
    /// An hour; kept for 40 days.
    Hour,
    /// A day; kept for 400 days.
    Day,
}

impl Grain {
    const ALL: [Grain; 3] = [Grain::Minute, Grain::Hour, Grain::Day];

    /// Its length.
    pub const fn length(self) -> Duration {
        Duration::from_secs(self.seconds().unsigned_abs())
    }

    const fn seconds(self) -> i64 {
        match self {
            Grain::Minute => 60,
            Grain::Hour => 3_600,
            Grain::Day => 86_400,
        }
    }

    /// How long its sums are kept.
    const fn kept(self) -> i64 {
        match self {
            Grain::Minute => 2 * 86_400,
            Grain::Hour => 40 * 86_400,
            Grain::Day => 400 * 86_400,
        }
    }
}

/// Checks of a service that were added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Good ones.
    pub good: i64,
    /// Bad ones.
    pub bad: i64,
    /// Those that say nothing, since the hub was offline.
    pub unknown: i64,
    /// How long the good and bad ones took together, in microseconds.
    pub total_us: i64,
    /// The longest of them.
    pub longest_us: i64,
}

impl Sum {
    /// Takes in one more.
    pub fn add(&mut self, other: Sum) {
        self.good += other.good;
        self.bad += other.bad;
        self.unknown += other.unknown;
        self.total_us += other.total_us;
        self.longest_us = self.longest_us.max(other.longest_us);
    }

    /// How long one took on average, in milliseconds; nothing where nothing was checked.
    pub fn average_ms(&self) -> Option<f64> {
        let all = self.good + self.bad;
        (all > 0).then(|| self.total_us as f64 / 1000.0 / all as f64)
    }

    /// The share of good ones in percent; nothing where nothing was checked.
    pub fn uptime(&self) -> Option<f64> {
        let all = self.good + self.bad;
        (all > 0).then(|| self.good as f64 * 100.0 / all as f64)
    }
}

/// A service by its tenant and its name.
type Key = (TenantId, ServiceName);

impl Store {
    /// Adds sums of the present minute to what is kept.
    pub async fn checks_add(&self, at: SystemTime, sums: BTreeMap<Key, Sum>) -> Result<(), StoreError> {
        let now = micros(at) / 1_000_000;
        self.change(move |db| Grain::ALL.into_iter().try_for_each(|grain| add(db, grain, now, &sums))).await
    }

    /// The sums since a moment, each service's together.
    pub async fn checks_since(
        &self,
        scope: &Scope,
        grain: Grain,
        since: SystemTime,
    ) -> Result<BTreeMap<Key, Sum>, StoreError> {
        let (scope, since) = (scope.clone(), micros(since) / 1_000_000);
        let rows = self.read(move |db| {
            let mut filter = Filter::default();
            scope.narrow(&mut filter);
            together(db, filter, grain, since)
        });
        let known = rows.await?.into_iter().filter_map(|(tenant, service, sum)| {
            Some(((TenantId::new(&tenant).ok()?, ServiceName::new(&service).ok()?), sum))
        });
        Ok(known.collect())
    }

    /// The same of some services of a tenant.
    pub async fn checks_of(
        &self,
        tenant: &TenantId,
        services: &[ServiceName],
        grain: Grain,
        since: SystemTime,
    ) -> Result<BTreeMap<ServiceName, Sum>, StoreError> {
        if services.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (tenant, services) = (tenant.clone(), services.to_vec());
        let since = micros(since) / 1_000_000;
        let rows = self.read(move |db| together(db, of(&tenant, &services), grain, since));
        let known =
            rows.await?.into_iter().filter_map(|(_, name, sum)| Some((ServiceName::new(&name).ok()?, sum)));
        Ok(known.collect())
    }

    /// The sums by day of some services of a tenant, from the day on that holds a moment. A day is that of UTC, by its
    /// number since 1970; one without a check is not there.
    pub async fn checks_by_day(
        &self,
        tenant: &TenantId,
        services: &[ServiceName],
        since: SystemTime,
    ) -> Result<BTreeMap<ServiceName, BTreeMap<i64, Sum>>, StoreError> {
        if services.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (tenant, services) = (tenant.clone(), services.to_vec());
        let day = Grain::Day.seconds();
        let first = (micros(since) / 1_000_000).div_euclid(day) * day;
        let rows = self.read(move |db| {
            let mut filter = of(&tenant, &services);
            filter.and("span = ?", day);
            filter.and("start >= ?", first);
            let all = "SELECT service, start, good, bad, unknown, total_us, longest_us FROM checks";
            filter.query(db, all, "", |row| {
                Ok((row.get::<String>(0)?, row.get::<i64>(1)?.div_euclid(day), sum(row)?))
            })
        });
        let mut days: BTreeMap<ServiceName, BTreeMap<i64, Sum>> = BTreeMap::new();
        for (service, day, sum) in rows.await? {
            if let Ok(service) = ServiceName::new(&service) {
                days.entry(service).or_default().insert(day, sum);
            }
        }
        Ok(days)
    }

    /// Deletes sums that are too old; answers how many.
    pub async fn checks_trim(&self) -> Result<u64, StoreError> {
        let now = micros(SystemTime::now()) / 1_000_000;
        self.change(move |db| {
            Grain::ALL.into_iter().try_fold(0, |gone, grain| {
                let before = now - grain.kept();
                let sql = "DELETE FROM checks WHERE span = ?1 AND start < ?2";
                Ok(gone + db.execute(sql, &[&grain.seconds(), &before])?)
            })
        })
        .await
    }
}

/// Keeps a reading to some services of a tenant.
fn of<'a>(tenant: &'a TenantId, services: &'a [ServiceName]) -> Filter<'a> {
    let mut filter = Filter::default();
    filter.and("tenant = ?", tenant.as_str());
    let places: Vec<_> = services.iter().map(|service| filter.value(service.as_str())).collect();
    filter.word(&format!("service IN ({})", places.join(", ")));
    filter
}

/// Sums since a second of 1970, each service's together.
fn together(
    db: &mut Db,
    mut filter: Filter<'_>,
    grain: Grain,
    since: i64,
) -> Result<Vec<(String, String, Sum)>, StoreError> {
    filter.and("span = ?", grain.seconds());
    // A sum that began before the moment and goes on after it counts.
    filter.and("start > ?", since - grain.seconds());
    let sums =
        ["good", "bad", "unknown", "total_us"].map(|name| format!("CAST(sum({name}) AS BIGINT)")).join(", ");
    let all = format!("SELECT tenant, service, {sums}, max(longest_us) FROM checks");
    filter.query(db, &all, "GROUP BY tenant, service", |row| Ok((row.get(0)?, row.get(1)?, sum(row)?)))
}

/// A sum behind the two columns that name it.
fn sum(row: &Row<'_>) -> Result<Sum, Misread> {
    Ok(Sum {
        good: row.get(2)?,
        bad: row.get(3)?,
        unknown: row.get(4)?,
        total_us: row.get(5)?,
        longest_us: row.get(6)?,
    })
}

fn add(db: &mut Db, grain: Grain, now: i64, sums: &BTreeMap<Key, Sum>) -> Result<(), StoreError> {
    let (span, start) = (grain.seconds(), now - now.rem_euclid(grain.seconds()));
    let keys: Vec<_> = sums.keys().map(|(tenant, service)| (tenant.as_str(), service.as_str())).collect();
    let rows: Vec<Vec<&dyn Param>> = keys
        .iter()
        .zip(sums.values())
        .map(|((tenant, service), sum)| -> Vec<&dyn Param> {
            vec![
                tenant,
                service,
                &span,
                &start,
                &sum.good,
                &sum.bad,
                &sum.unknown,
                &sum.total_us,
                &sum.longest_us,
            ]
        })
        .collect();
    let sql = "INSERT INTO checks (tenant, service, span, start, good, bad, unknown, total_us, longest_us)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (span, tenant, service, start) DO UPDATE SET
        good = checks.good + excluded.good, bad = checks.bad + excluded.bad,
        unknown = checks.unknown + excluded.unknown, total_us = checks.total_us + excluded.total_us,
        longest_us = CASE WHEN checks.longest_us > excluded.longest_us
            THEN checks.longest_us ELSE excluded.longest_us END";
    db.first_of_each(sql, &rows, |_| Ok(())).map(drop)
}
