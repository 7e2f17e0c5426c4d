//! One check of a service over the network: what is asked, within a time, and what was found. Whether that is good is
//! for the conditions (`condition.rs`), and what follows from it for `health.rs`.

mod dns;
mod grpc;
mod http;
mod icmp;
mod target;
mod tcp;
mod tls;

use std::collections::HashMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

pub(crate) use self::http::{Answer, Origin, Sending, without_user};
use self::target::Plan;
pub(crate) use self::target::headers;
pub use self::target::{Fault, INTERVAL_MIN, Inside, SCHEMES, Target};
pub(crate) use self::tcp::{Address, Host, words};
use self::tls::Expected;
pub(crate) use self::tls::{Spoken, Tls, Trust};
use crate::condition::Found;

/// Checks under way at the same time. Each takes one open file and, where it reads, up to 1 MiB.
const CHECKS_MAX: usize = 256;
/// Checks of one host under way at the same time: a watch must not be a load.
const HOST_CHECKS_MAX: usize = 4;
/// A packet that is lost is sent again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// Characters that are shown of what another program says.
const TOLD_MAX: usize = 200;

/// What went wrong, in words for people, without secrets.
pub(crate) type Told<T> = Result<T, String>;

/// Makes checks. One is shared by all of them.
pub struct Prober {
    tls: Tls,
    all: Semaphore,
    hosts: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prober")
    }
}

impl Default for Prober {
    fn default() -> Self {
        Self::new()
    }
}

impl Prober {
    /// Reads the certificates of authorities that the system trusts.
    pub fn new() -> Self {
        Self { tls: Tls::new(), all: Semaphore::new(CHECKS_MAX), hosts: Mutex::default() }
    }

    /// Makes one check. It ends within the target's time, which begins when there is a place for it: that others wait
    /// too says nothing of the service. Dropped, it ends at once.
    pub async fn probe(&self, target: &Target) -> Found {
        let mut found = Found::default();
        let place = Place::new(self, &target.host);
        let _one_of_host = place.take().await;
        let _one_of_all = self.all.acquire().await;
        let start = Instant::now();
        let deadline = start + target.timeout;
        let check = Check { tls: &self.tls, deadline, reads: target.reads, found: &mut found };
        let ended = timeout_at(deadline, check.ask(&target.plan)).await;
        found.response_time = start.elapsed();
        found.error = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(late(target, &found)),
        };
        found
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Semaphore>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A check under way.
struct Check<'a> {
    tls: &'a Tls,
    deadline: Instant,
    /// Whether a condition looks into what is answered.
    reads: bool,
    /// What was found so far; it stays where the time is over.
    found: &'a mut Found,
}

impl Check<'_> {
    async fn ask(mut self, plan: &Plan) -> Told<()> {
        match plan {
            // The larger ones have a place of their own, so that a check over TCP stays small.
            Plan::Http(plan) => Box::pin(plan.ask(&mut self)).await,
            Plan::Grpc(plan) => Box::pin(plan.ask(&mut self)).await,
            Plan::Dns(plan) => Box::pin(plan.ask(self.found)).await,
            Plan::Icmp(host) => Box::pin(icmp::ask(host, self.found)).await,
            Plan::Tcp(address) => {
                address.connect(&mut self).await?;
                self.found.connected = true;
                Ok(())
            }
            Plan::Tls(address, expected) => {
                let stream = address.connect(&mut self).await?;
                Box::pin(self.tls.handshake(stream, expected, self.found)).await?;
                self.found.connected = true;
                Ok(())
            }
            Plan::Server(..) | Plan::Push => Err("nothing is asked over the network".into()),
        }
    }
}

/// How somebody is reached for what is no check.
pub(crate) struct Dial<'a> {
    pub(crate) tls: &'a Tls,
    pub(crate) address: &'a Address,
    pub(crate) trust: &'a Trust,
    /// When the connection must be there.
    pub(crate) deadline: Instant,
}

impl Dial<'_> {
    /// Makes a connection.
    pub(crate) async fn connect(&self) -> Told<TcpStream> {
        let mut found = Found::default();
        let mut check = Check { tls: self.tls, deadline: self.deadline, reads: true, found: &mut found };
        self.address.connect(&mut check).await
    }

    /// Makes a TLS handshake over it, and judges the certificate.
    pub(crate) async fn secure(&self, stream: TcpStream, spoken: Spoken) -> Told<TlsStream<TcpStream>> {
        let name = http::server_name(&self.address.host)?;
        let expected = Expected { trust: self.trust.clone(), name, spoken };
        self.tls.handshake(stream, &expected, &mut Found::default()).await
    }
}

/// A check's place among those of its host. The host is forgotten with its last check.
struct Place<'a> {
    prober: &'a Prober,
    host: &'a Arc<str>,
    places: Option<Arc<Semaphore>>,
}

impl<'a> Place<'a> {
    fn new(prober: &'a Prober, host: &'a Arc<str>) -> Self {
        let mut hosts = prober.hosts();
        let places = hosts.entry(host.clone()).or_insert_with(|| Semaphore::new(HOST_CHECKS_MAX).into());
        let places = Some(places.clone());
        drop(hosts);
        Self { prober, host, places }
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        self.places.clone()?.acquire_owned().await.ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut hosts = self.prober.hosts();
        self.places = None;
        // All others who hold it do so through a place or a permit of theirs.
        if hosts.get(self.host).is_some_and(|places| Arc::strong_count(places) == 1) {
            hosts.remove(self.host);
        }
    }
}

/// What is said when the time is over.
fn late(target: &Target, found: &Found) -> String {
    let limit = span(target.timeout);
    let note = found.error.as_ref().map_or(String::new(), |note| format!(": {note}"));
    match (found.connected, found.phases.connect.is_zero(), &target.plan) {
        (true, ..) => format!("the answer was not over within {limit}"),
        (false, true, Plan::Http(_) | Plan::Tcp(_) | Plan::Tls(..) | Plan::Grpc(_)) => {
            format!("no connection to {} within {limit}", target.plan)
        }
        _ => format!("no answer within {limit}{note}"),
    }
}

/// A time, for people: `300 ms`, `5 s`.
pub(crate) fn span(time: Duration) -> String {
    match time.as_millis() {
        whole if whole >= 1000 && whole % 1000 == 0 => format!("{} s", whole / 1000),
        milliseconds => format!("{milliseconds} ms"),
    }
}

/// What another program says, cut and harmless.
pub(crate) fn told_by(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TOLD_MAX).collect()
}

/// Polls a connection as long as there is work on it. The check's own task does both, so nothing outlives it.
async fn beside<T>(connection: impl Future, work: impl Future<Output = T>) -> T {
    let (mut connection, mut work) = (pin!(connection), pin!(work));
    let mut is_open = true;
    poll_fn(|cx| {
        is_open = is_open && connection.as_mut().poll(cx).is_pending();
        match work.as_mut().poll(cx) {
            // What the work has just handed over goes out without a turn through the scheduler.
            Poll::Pending if is_open => {
                is_open = connection.as_mut().poll(cx).is_pending();
                if is_open { Poll::Pending } else { work.as_mut().poll(cx) }
            }
            other => other,
        }
    })
    .await
}

#[cfg(test)]
pub(crate) mod tests;
