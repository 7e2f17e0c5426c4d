//! Instances of a server that serve one session each (`sharing: per_session`): what a client does in one, such as an
//! open page or a login, is seen by nobody else, and a question that it asks has one client whom it can concern. The
//! shared one stays: the lists come from it, and it serves what belongs to no session.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use puerto_core::def::{EraDef, Sharing};
use puerto_core::{Code, Error, Result, Retry};
use tokio::task::JoinSet;

use super::{Birth, News, State, Upstream};
use crate::era::Era;
use crate::offer::ListKind;
use crate::session::Session;
use crate::tenant::Keeper;

/// When a caller is told to try again where no further session gets an instance.
const AGAIN: Duration = Duration::from_secs(10);
/// Time after which the instance of a session from which nothing was heard, not even by an open stream, gives way to
/// another session's: clients vanish without a word.
const UNHEARD: Duration = Duration::from_secs(600);

/// The instances of one server.
#[derive(Debug, Default)]
pub(super) struct Instances(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// By the session's number.
    by_session: BTreeMap<u64, Arc<Upstream>>,
    tasks: JoinSet<()>,
}

impl Instances {
    fn locked(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those that there are.
    pub(super) fn all(&self) -> Vec<Arc<Upstream>> {
        self.locked().by_session.values().cloned().collect()
    }

    /// Takes them all out.
    pub(super) fn take(&self) -> Vec<Arc<Upstream>> {
        std::mem::take(&mut self.locked().by_session).into_values().collect()
    }

    /// The session of which nothing was heard for longest, where that is long enough for its instance to give way.
    fn unheard(held: &Held) -> Option<u64> {
        let silence = |own: &Upstream| match own.owner() {
            Some(_) if own.is_busy() => Duration::ZERO,
            Some(session) => session.idle(),
            None => Duration::MAX,
        };
        longest_unheard(held.by_session.iter().map(|(session, own)| (silence(own), *session)))
    }

    /// Waits until the supervision of each, which has been told to, has ended.
    pub(super) async fn ended(&self) {
        let mut tasks = std::mem::take(&mut self.locked().tasks);
        while tasks.join_next().await.is_some() {}
    }
}

fn longest_unheard(silences: impl Iterator<Item = (Duration, u64)>) -> Option<u64> {
    silences.max().filter(|(silence, _)| *silence >= UNHEARD).map(|(_, session)| session)
}

impl Upstream {
    /// The session that it serves and no other, while there is one.
    pub(super) fn owner(&self) -> Option<Arc<Session>> {
        self.owner.as_ref()?.upgrade()
    }

    /// The era to speak with it. An instance begins with its client's own.
    pub(super) fn era(&self) -> EraDef {
        if self.turned_modern.load(Ordering::Relaxed) { EraDef::Modern } else { self.def.era }
    }

    /// Whether an instance with which the handshake has failed is tried again at once in the modern era, where the
    /// shared one is not known to speak the legacy one. When that fails too, it begins with the legacy era again.
    pub(super) fn turns_modern(&self) -> bool {
        self.owner.is_some()
            && self.def.era == EraDef::Auto
            && !self.turned_modern.fetch_xor(true, Ordering::Relaxed)
    }

    /// Its instances, by the number of the session that each serves.
    pub fn instances(&self) -> BTreeMap<u64, Arc<Upstream>> {
        self.instances.locked().by_session.clone()
    }

    /// What serves a session: itself, or the session's own instance, which begins with its first use.
    ///
    /// # Errors
    /// `busy` where `max_instances` sessions have one, `upstream_down` where the server is stopped or down.
    pub fn serving(self: &Arc<Self>, session: &Arc<Session>, keeper: &Arc<Keeper>) -> Result<Arc<Self>> {
        if self.def.sharing != Sharing::PerSession || self.owner.is_some() {
            return Ok(self.clone());
        }
        let mut held = self.instances.locked();
        if let Some(own) = held.by_session.get(&session.number) {
            return Ok(own.clone());
        }
        self.may_grow(&mut held, session)?;
        let own = self.instance(&mut held.tasks, session, keeper);
        held.by_session.insert(session.number, own.clone());
        Ok(own)
    }

    /// What serves a session now, where anything does.
    pub fn served(self: &Arc<Self>, session: &Session) -> Option<Arc<Self>> {
        match self.def.sharing {
            Sharing::PerSession => self.instances.locked().by_session.get(&session.number).cloned(),
            Sharing::Shared | Sharing::PerUser => Some(self.clone()),
        }
    }

    /// Whether a session may have an instance of its own now.
    fn may_grow(&self, held: &mut Held, session: &Session) -> Result<()> {
        // Both are told before instances are let go of, so that none is made afterwards.
        if session.ended.is_cancelled() {
            return Err(Error::caller(Code::SessionNotFound, "the session has ended"));
        }
        if self.stopping.is_cancelled() {
            return Err(self.ended_meanwhile());
        }
        let state = self.state();
        match state {
            State::Failed { .. } => self.wake(),
            State::Stopped | State::Disabled | State::BackingOff { .. } => {}
            _ => return self.has_room(held),
        }
        Err(self.down(&state))
    }

    fn has_room(&self, held: &mut Held) -> Result<()> {
        let limit = self.def.instance_limit();
        if held.by_session.len() < limit {
            return Ok(());
        }
        if let Some(own) = Instances::unheard(held).and_then(|session| held.by_session.remove(&session)) {
            own.stopping.cancel();
            return Ok(());
        }
        let text = format!(
            "server {:?} has as many instances as it may (max_instances: {limit}), each for another session; try again when one has ended",
            self.name.as_str()
        );
        Err(Error::hub(Code::Busy, text).retry(Retry::After(AGAIN)))
    }

    fn instance(
        self: &Arc<Self>,
        tasks: &mut JoinSet<()>,
        session: &Arc<Session>,
        keeper: &Arc<Keeper>,
    ) -> Arc<Self> {
        let mut def = self.def.clone();
        if self.offer().is_some_and(|offer| offer.about.revision.era() == Era::Legacy) {
            def.era = EraDef::Legacy;
        }
        let (owner, catalogs) = (Arc::downgrade(session), keeper.clone());
        let hears = owner.clone();
        let birth = Birth {
            tenant: self.tenant.clone(),
            name: self.name.clone(),
            def,
            reach: self.reach.clone(),
            rules: self.rules.clone(),
            remembered: None,
            before: None,
            hear: Arc::new(move |upstream, news| {
                if let (News::Updated(uri), Some(session)) = (news, hears.upgrade()) {
                    let text = session.updated(&catalogs.catalog(), &upstream.name, &uri);
                    text.map(|text| session.send(text));
                }
            }),
            owner: Some(owner),
            log: self.log.clone(),
        };
        while tasks.try_join_next().is_some() {}
        let own = Self::spawn(birth, tasks, &self.stopping);
        // It may take the place of one that had subscriptions.
        let catalog = keeper.catalog();
        for uri in session.subscriptions() {
            let found = catalog.find(&session.scope, ListKind::Resources, &uri.into());
            if let Some(found) = found.ok().filter(|found| found.target.server == self.name) {
                own.subscriptions.hold(&found.target.key);
            }
        }
        own
    }

    /// Whether calls are under way or wait.
    fn is_busy(&self) -> bool {
        self.connected().is_some_and(|live| live.is_busy(self.def.concurrent_limit()))
    }

    /// Lets go of a session's instance, which ends.
    pub fn release(&self, session: &Session) {
        if let Some(own) = self.instances.locked().by_session.remove(&session.number) {
            own.stopping.cancel();
        }
    }

    /// Ends an instance, and waits until its process is gone.
    pub(super) async fn end(&self) {
        self.stop_alone().await;
        self.stopping.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_not_heard_for_long_gives_way_and_the_one_unheard_for_longest_first() {
        let after = |silences: &[u64]| {
            let silences = silences.iter().map(|s| Duration::from_secs(*s)).zip(1..);
            longest_unheard(silences)
        };
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[599, 0]), None);
        assert_eq!(after(&[600, 900, 10]), Some(2));
    }
}
