//! The words of Puerto: ids, names, definitions, caller, context, view, record, error.
//!
//! Everything else in the workspace is written in these words. This crate does no I/O and knows
//! neither SQL nor HTTP; it may use tokio's channels and clock, because a context carries both.

pub mod caller;
pub mod code;
pub mod ctx;
pub mod def;
pub mod error;
pub mod event;
pub mod id;
mod intern;
pub mod pattern;
pub mod quota;
pub mod record;
pub mod recorder;
pub mod secret;
pub mod text;
pub mod trace;
pub mod view;

pub use caller::{Action, Actor, Caller};
pub use code::Code;
pub use ctx::{Ctx, Op};
pub use error::{Error, Origin, Result, Retry};
pub use event::{Event, Severity};
pub use id::{ProfileName, RequestId, ServerName, ServiceName, TenantId, ToolName};
pub use intern::intern;
pub use pattern::{Choice, Pattern};
pub use record::{Asked, Audited, Digest, Kind, Outcome, Record, Texts, Traced};
pub use recorder::{Entry, Recorder, Records, Step};
pub use secret::Secret;
pub use text::{Text, TextRoom};
pub use view::{TenantView, View};
