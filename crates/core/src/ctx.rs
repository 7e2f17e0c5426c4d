//! The first argument of every operation: who asks, for which tenant, until when, and where to record it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::caller::{Action, Actor, Caller, Object};
use crate::code::Code;
use crate::def::AuditMode;
use crate::error::{Error, Result, Retry};
use crate::id::RequestId;
use crate::record::{Asked, Kind, Outcome, Record, Traced};
use crate::recorder::{Recorder, Slot};
use crate::text::TextRoom;
use crate::trace::Trace;
use crate::view::TenantView;

/// Made once at the edge, handed down everywhere.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// Who asks.
    pub caller: Caller,
    /// The tenant, as it is defined at this moment.
    pub tenant: Arc<TenantView>,
    /// This operation.
    pub id: RequestId,
    /// When it must be over.
    pub deadline: Instant,
    /// Ends it early, where somebody beside the one who waits for it can.
    pub cancel: Option<CancellationToken>,
    /// Its place in a trace.
    pub trace: Trace,
    /// The client program as it calls itself, for logs.
    pub client: Option<Arc<str>>,
    /// The protocol revision of the client's request, for logs and metrics.
    pub protocol: Option<&'static str>,
    /// The number of the client's session, for spans.
    pub session: Option<u64>,
    recorder: Recorder,
}

impl Ctx {
    /// A context for one operation of a caller.
    pub fn new(caller: Caller, tenant: Arc<TenantView>, recorder: Recorder, limit: Duration) -> Self {
        let id = RequestId::next();
        Self {
            caller,
            tenant,
            id,
            deadline: Instant::now() + limit,
            cancel: None,
            trace: Trace::start(id),
            client: None,
            protocol: None,
            session: None,
            recorder,
        }
    }

    /// Takes its place in the trace that a `traceparent` names, where there is one.
    pub fn follow(&mut self, traceparent: Option<&str>) {
        self.trace = Trace::follow(traceparent, self.id);
    }

    /// Where arguments and results wait to be kept, where the tenant keeps them.
    pub fn texts(&self) -> Option<&TextRoom> {
        self.tenant.def.audit.texts.then(|| self.recorder.texts())
    }

    /// Whether the caller may do that; memory only.
    pub fn require(&self, action: Action, on: &impl Object) -> Result<()> {
        self.caller.require(action, on)
    }

    /// Begins an operation that is recorded when it ends, however it ends.
    pub fn begin(&self, kind: Kind) -> Op {
        Op {
            slot: self.recorder.reserve(),
            began: Instant::now(),
            record: Some(Record {
                at: SystemTime::now(),
                request: self.id,
                trace: self.trace,
                kind,
                tenant: self.tenant.id.shared(),
                caller: match self.caller.actor() {
                    // The common case shares its tenant-independent text instead of copying it.
                    Actor::LocalUser => local_user(),
                    other => other.name().into(),
                },
                client: self.client.clone(),
                protocol: self.protocol,
                server: None,
                object: None,
                outcome: Outcome::Cancelled,
                duration: Duration::ZERO,
                bytes_in: 0,
                bytes_out: 0,
                detail: None,
                audited: self.tenant.def.audit.audited(),
                salt: None,
                arguments: None,
                result: None,
                texts: None,
                traced: (self.recorder.makes_spans() && self.trace.is_sampled())
                    .then(|| Box::new(Traced { session: self.session, ..Traced::default() })),
            }),
        }
    }

    /// Records that an operation was allowed and begins now. Called before anything is done.
    ///
    /// # Errors
    /// Where the tenant requires an audit and it cannot be kept: the operation must not run.
    pub fn decided(&self, op: &mut Op) -> Result<()> {
        if op.record.as_ref().is_some_and(|record| !record.is_for_audit()) {
            return Ok(());
        }
        if let Some(slot) = &mut op.slot
            && let Some(record) = op.record.take()
        {
            slot.begun(record);
        }
        let is_kept = op.slot.is_some() && !self.recorder.is_failing();
        if is_kept || self.tenant.def.audit.mode != AuditMode::Required {
            return Ok(());
        }
        let text = "this tenant requires an audit, and it cannot be kept at present; nothing was done";
        Err(Error::hub(Code::Unavailable, text).retry(Retry::Yes))
    }

    /// Runs an operation and records how it ended.
    pub async fn run<T>(&self, kind: Kind, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.run_on(kind, None, work).await
    }

    /// The same, with what it concerns.
    pub async fn run_on<T>(
        &self,
        kind: Kind,
        object: Option<Arc<str>>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut op = self.begin(kind);
        op.note(|record| record.object = object);
        let done = match self.decided(&mut op) {
            Ok(()) => work.await,
            Err(error) => Err(error),
        };
        match &done {
            Ok(_) => op.end(Outcome::Ok),
            Err(error) => op.fail(error),
        }
        done
    }

    /// A context for part of this operation, done by another actor; it never has more rights.
    #[must_use]
    pub fn child(&self) -> Ctx {
        let id = RequestId::next();
        Ctx {
            id,
            trace: Trace { span_id: id.number(), parent_id: self.trace.span_id, ..self.trace },
            cancel: self.cancel.as_ref().map(CancellationToken::child_token),
            ..self.clone()
        }
    }
}

fn local_user() -> Arc<str> {
    static NAME: std::sync::OnceLock<Arc<str>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| Actor::LocalUser.name().into()).clone()
}

/// An operation under way. Dropped before its end it is recorded as cancelled: the client has gone.
#[derive(Debug)]
pub struct Op {
    slot: Option<Slot>,
    began: Instant,
    /// Until it is allowed; its place has it then, where it can be told of while it goes on.
    record: Option<Record>,
}

impl Op {
    fn with<T>(&mut self, work: impl FnOnce(&mut Record) -> T) -> Option<T> {
        match (&mut self.record, &self.slot) {
            (Some(record), _) => Some(work(record)),
            (None, slot) => slot.as_ref()?.with(work),
        }
    }

    /// Fills in what becomes known on the way.
    pub fn note(&mut self, fill: impl FnOnce(&mut Record)) {
        self.with(fill);
    }

    /// A place in the trace for what is asked of a server now; nothing where no spans are made of this.
    pub fn ask(&mut self, server: Arc<str>, protocol: &'static str) -> Option<Trace> {
        let after = self.began.elapsed();
        self.with(|record| {
            let traced = record.traced.as_deref_mut()?;
            let trace = record.trace.child();
            traced.asked.push(Asked { span_id: trace.span_id, after, server, protocol });
            Some(trace)
        })?
    }

    /// Ends it.
    pub fn end(&mut self, outcome: Outcome) {
        self.end_with(outcome, |_| ());
    }

    /// The same, and fills in what becomes known with its end.
    pub fn end_with(&mut self, outcome: Outcome, fill: impl FnOnce(&mut Record)) {
        let Some(slot) = self.slot.take() else { return };
        let duration = self.began.elapsed();
        slot.end(self.record.take(), |record| {
            fill(record);
            (record.outcome, record.duration) = (outcome, duration);
        });
    }

    /// Ends it with an error, whose chain goes into the record.
    pub fn fail(&mut self, error: &Error) {
        let detail = error.chain().into();
        self.end_with(Outcome::Error(error.code(), error.origin()), |record| record.detail = Some(detail));
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        self.end(Outcome::Cancelled);
    }
}
