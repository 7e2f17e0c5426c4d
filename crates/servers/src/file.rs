//! The built-in server `file`: files below configured directories, read-only unless `writable`. cap-std
//! opens everything relative to those directories, so neither `..` nor symbolic links leave them.

mod read;
mod resource;
mod roots;
mod search;
mod walk;
mod write;

use std::path::Path;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use puerto_core::def::OptionsDef;
use puerto_mcp::builtin::{About, Answer, Builtin, CallError, Contents, Template, Tool};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use crate::OpenError;
use crate::call::{ADDS, DESTROYS, READS, REPLACES, answer, arguments, blocking, tool, within};
use read::{Piece, READ_BYTES_MAX, ReadArgs};
use roots::Roots;
use search::{Found, MATCHES_DEFAULT, MATCHES_MAX, SearchArgs};
use walk::{LIST_DEFAULT, LIST_MAX, ListArgs, Listing, Stat, StatArgs};
use write::{AppendArgs, DeleteArgs, Deleted, MoveArgs, Moved, WriteArgs, Written};

/// The server.
pub(crate) struct Files {
    roots: Arc<Roots>,
    writable: bool,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Kind {
    File,
    Directory,
    Symlink,
    /// A pipe, socket or device.
    Other,
}

impl Kind {
    fn of(found: &cap_std::fs::Metadata) -> Self {
        if found.is_file() {
            Kind::File
        } else if found.is_dir() {
            Kind::Directory
        } else if found.is_symlink() {
            Kind::Symlink
        } else {
            Kind::Other
        }
    }
}

impl Files {
    pub(crate) fn open(options: &OptionsDef, base: &Path) -> Result<Self, OpenError> {
        Ok(Self { roots: Arc::new(Roots::open(options, base)?), writable: options.writable })
    }

    async fn run(
        &self,
        tool: &str,
        given: &RawValue,
        cancel: &CancellationToken,
    ) -> Result<Answer, CallError> {
        match tool {
            "read" => {
                let args: ReadArgs = arguments(tool, given)?;
                let limit = within("limit", args.limit, READ_BYTES_MAX, READ_BYTES_MAX)?;
                let (encoding, offset) = (args.encoding.unwrap_or_default(), args.offset.unwrap_or(0));
                self.on_disk(cancel, move |roots, _| {
                    read::read(&roots.place(&args.path)?, encoding, offset, limit)
                })
                .await
            }
            "list" => {
                let args: ListArgs = arguments(tool, given)?;
                let limit = within("limit", args.limit, LIST_DEFAULT, LIST_MAX)? as usize;
                let recursive = args.recursive.unwrap_or(false);
                let path = args.path.unwrap_or_default();
                self.on_disk(cancel, move |roots, cancel| {
                    walk::list(&roots.place(&path)?, recursive, limit, cancel)
                })
                .await
            }
            "stat" => {
                let args: StatArgs = arguments(tool, given)?;
                self.on_disk(cancel, move |roots, _| walk::stat(&roots.place(&args.path)?)).await
            }
            "search" => {
                let args: SearchArgs = arguments(tool, given)?;
                let limit = within("limit", args.limit, MATCHES_DEFAULT, MATCHES_MAX)? as usize;
                self.on_disk(cancel, move |roots, cancel| {
                    let place = roots.place(args.path.as_deref().unwrap_or_default())?;
                    search::search(&place, &args, limit, cancel)
                })
                .await
            }
            _ if self.writable => self.change(tool, given, cancel).await,
            _ => Err(CallError::Unknown),
        }
    }

    async fn change(
        &self,
        tool: &str,
        given: &RawValue,
        cancel: &CancellationToken,
    ) -> Result<Answer, CallError> {
        match tool {
            "write" => {
                let args: WriteArgs = arguments(tool, given)?;
                self.on_disk(cancel, move |roots, _| {
                    let bytes = write::content(args.content, args.encoding)?;
                    write::write(&roots.place(&args.path)?, &bytes, args.create_parents.unwrap_or(false))
                })
                .await
            }
            "append" => {
                let args: AppendArgs = arguments(tool, given)?;
                self.on_disk(cancel, move |roots, _| {
                    let bytes = write::content(args.content, args.encoding)?;
                    write::append(&roots.place(&args.path)?, &bytes)
                })
                .await
            }
            "move" => {
                let args: MoveArgs = arguments(tool, given)?;
                self.on_disk(cancel, move |roots, _| {
                    let (from, to) = (roots.place(&args.from)?, roots.place(&args.to)?);
                    write::move_to(&from, &to, args.overwrite.unwrap_or(false))
                })
                .await
            }
            "delete" => {
                let args: DeleteArgs = arguments(tool, given)?;
                self.on_disk(cancel, move |roots, _| {
                    write::delete(&roots.place(&args.path)?, args.recursive.unwrap_or(false))
                })
                .await
            }
            _ => Err(CallError::Unknown),
        }
    }

    /// File systems block, so all work with them runs beside the async runtime.
    async fn on_disk<R: Serialize + Send + 'static>(
        &self,
        cancel: &CancellationToken,
        work: impl FnOnce(&Roots, &CancellationToken) -> Result<R, CallError> + Send + 'static,
    ) -> Result<Answer, CallError> {
        let (roots, inner) = (self.roots.clone(), cancel.clone());
        blocking(cancel, move || answer(&work(&roots, &inner)?)).await
    }

    /// The rule for paths, for descriptions.
    fn paths(&self) -> String {
        let names: Vec<&str> = self.roots.names().collect();
        match names.as_slice() {
            [] | [_] => "Paths are relative to the served directory; a leading / means its top.".into(),
            [first, rest @ ..] => {
                let rest: Vec<String> = rest.iter().map(|name| format!("\"{name}:/path\"")).collect();
                format!(
                    "Paths are relative to the directory \"{first}\", a leading / means its top; begin with the \
                     name and a colon for the others: {}.",
                    rest.join(", ")
                )
            }
        }
    }

    fn reading_tools(&self) -> Vec<Tool> {
        let paths = self.paths();
        vec![
            tool::<ReadArgs, Piece>(
                "read",
                "Read a file",
                format!(
                    "Reads a file as text, or as base64 when it is not UTF-8 text. At most 1 MiB a call: when \
                     truncated is true, call again with offset = next_offset. {paths}"
                ),
                READS,
            ),
            tool::<ListArgs, Listing>(
                "list",
                "List a directory",
                format!(
                    "Lists a directory, sorted by name; recursive also lists what is below. Links are shown, not \
                     followed. Narrow the path when truncated is true. {paths}"
                ),
                READS,
            ),
            tool::<StatArgs, Stat>(
                "stat",
                "Look at a file",
                format!("Kind, size and times of a file or directory, without reading it. {paths}"),
                READS,
            ),
            tool::<SearchArgs, Found>(
                "search",
                "Search files",
                format!(
                    "Finds files by name (a glob such as *.md or src/**/*.rs), lines by text (exact, case counts), or \
                     lines by text in the files so named. Bounded in matches, entries, bytes and time: stopped_by \
                     says which bound ended it. {paths}"
                ),
                READS,
            ),
        ]
    }

    fn changing_tools(&self) -> Vec<Tool> {
        let paths = self.paths();
        vec![
            tool::<WriteArgs, Written>(
                "write",
                "Write a file",
                format!(
                    "Creates a file or replaces all of its content, in one step: a reader sees the old or the new \
                     file. At most 8 MiB; use append for more. {paths}"
                ),
                REPLACES,
            ),
            tool::<AppendArgs, Written>(
                "append",
                "Append to a file",
                format!("Adds to the end of a file, and creates it when missing. {paths}"),
                ADDS,
            ),
            tool::<MoveArgs, Moved>(
                "move",
                "Move or rename",
                format!(
                    "Moves or renames a file or directory. What is there already is replaced only with overwrite, \
                     and never when it is a directory. {paths}"
                ),
                DESTROYS,
            ),
            tool::<DeleteArgs, Deleted>(
                "delete",
                "Delete",
                format!(
                    "Deletes a file, a link (not what it leads to) or an empty directory; with recursive a directory \
                     and all in it. It cannot be undone. {paths}"
                ),
                DESTROYS,
            ),
        ]
    }
}

impl Builtin for Files {
    fn about(&self) -> About {
        let access = if self.writable { "can be read and changed" } else { "can be read, not changed" };
        About {
            name: "puerto-file",
            title: "Files".into(),
            instructions: format!(
                "Files below the directories that the operator serves; they {access}. {} Nothing outside can be \
                 reached, also not through links. Use search before reading many files.",
                self.paths()
            )
            .into(),
        }
    }

    fn tools(&self) -> Vec<Tool> {
        let mut tools = self.reading_tools();
        if self.writable {
            tools.extend(self.changing_tools());
        }
        tools
    }

    fn templates(&self) -> Vec<Template> {
        resource::templates(&self.roots)
    }

    fn call<'a>(
        &'a self,
        tool: &'a str,
        arguments: &'a RawValue,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Answer, CallError>> {
        Box::pin(async move { self.run(tool, arguments, &cancel).await })
    }

    fn read<'a>(
        &'a self,
        uri: &'a str,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<Contents>, CallError>> {
        let (roots, uri) = (self.roots.clone(), uri.to_owned());
        Box::pin(async move { blocking(&cancel, move || resource::read(&roots, &uri)).await })
    }
}

#[cfg(test)]
mod tests;
