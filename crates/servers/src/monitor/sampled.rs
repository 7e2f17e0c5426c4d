//! Figures that are a difference between two samples. The last sample is held, so only the first
//! question, or one after a long silence, waits for a second one.

use std::sync::Arc;
use std::time::Duration;

use puerto_mcp::builtin::CallError;
use sysinfo::MINIMUM_CPU_UPDATE_INTERVAL;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::call::failed;

/// A sample older than this says what the machine did in the past minute rather than now, so two new
/// ones are taken.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(60);

/// A source of samples, read by one caller at a time.
pub(super) struct Sampled<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    source: T,
    /// When the last sample was taken.
    at: Option<Instant>,
    /// Time between the last two samples, once there are two.
    window: Option<Duration>,
}

impl<T: Send + 'static> Sampled<T> {
    pub(super) fn new(source: T) -> Self {
        Self(Arc::new(Mutex::new(State { source, at: None, window: None })))
    }

    /// Makes sure of two samples at a sensible distance, then reads them with the time between them.
    pub(super) async fn read<R: Send + 'static>(
        &self,
        refresh: fn(&mut T),
        read: impl FnOnce(&T, Duration) -> R + Send + 'static,
    ) -> Result<R, CallError> {
        let mut state = self.0.clone().lock_owned().await;
        if state.at.is_none_or(|at| at.elapsed() > SAMPLE_AGE_MAX) {
            state = sample(state, refresh).await?;
            state.window = None;
        }
        let due = state.at.map_or_else(Instant::now, |at| at + MINIMUM_CPU_UPDATE_INTERVAL);
        // Asked again sooner than samples may follow each other: the last figures still hold.
        if state.window.is_none() || due <= Instant::now() {
            tokio::time::sleep_until(due).await;
            state = sample(state, refresh).await?;
        }
        let window = state.window.unwrap_or(MINIMUM_CPU_UPDATE_INTERVAL);
        off_runtime(move || read(&state.source, window)).await
    }
}

async fn sample<T: Send + 'static>(
    mut state: OwnedMutexGuard<State<T>>,
    refresh: fn(&mut T),
) -> Result<OwnedMutexGuard<State<T>>, CallError> {
    off_runtime(move || {
        refresh(&mut state.source);
        let now = Instant::now();
        state.window = state.at.map(|at| now.duration_since(at));
        state.at = Some(now);
        state
    })
    .await
}

async fn off_runtime<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, CallError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "could not read this machine's figures");
        failed("could not read this machine's figures")
    })
}
