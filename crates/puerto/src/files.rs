//! How many files and sockets may be open.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Files and sockets that a hub has open at most: 10,000 sessions with their streams, calls and servers. The
/// second one is for systems that allow no process more.
const WANTED: [u64; 2] = [65_536, 10_240];

static BEFORE: OnceLock<u64> = OnceLock::new();

/// Raises our limit of open files. Most systems start programs with 1,024, so that `select` works in old ones, and
/// let those that want more take it; a thousand clients with their streams are more.
pub(crate) fn allow_many() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let _ = BEFORE.set(soft);
    let wanted = WANTED.iter().map(|wanted| (*wanted).min(hard)).filter(|wanted| *wanted > soft);
    for wanted in wanted {
        if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok() {
            return;
        }
    }
}

/// The limit that we were started with: what programs that we start are used to.
pub(crate) fn before() -> Option<u64> {
    BEFORE.get().copied()
}
