//! The jail: directories that are served, and places inside them. A place is a root and a clean
//! relative path; cap-std then makes sure that no symbolic link on the way leads out.

use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use puerto_core::def::OptionsDef;
use puerto_mcp::builtin::CallError;

use crate::OpenError;
use crate::call::failed;

/// The directories that are served; at least one.
pub(super) struct Roots(Vec<Root>);

struct Root {
    name: String,
    dir: Dir,
}

/// A path inside a root.
pub(super) struct Place<'a> {
    root: &'a Root,
    /// Shown before the path; empty for the first root.
    prefix: String,
    /// Relative and clean: no `.`, no `..`, no leading `/`. Empty for the root itself.
    path: String,
}

impl Roots {
    pub(super) fn open(options: &OptionsDef, base: &Path) -> Result<Self, OpenError> {
        if options.roots.is_empty() {
            let problem = "is missing: name at least one directory, such as \"roots\": [\"data\"]".to_owned();
            return Err(OpenError::Option { server: "file", option: "roots", problem });
        }
        let mut roots: Vec<Root> = Vec::new();
        for given in &options.roots {
            let path = base.join(given);
            let bad =
                |source: io::Error| OpenError::Root { given: given.clone(), path: path.clone(), source };
            let real = path.canonicalize().map_err(bad)?;
            let dir = Dir::open_ambient_dir(&real, ambient_authority()).map_err(bad)?;
            let name = real.file_name().map_or("root".into(), |name| name.to_string_lossy().into_owned());
            roots.push(Root { name: unused(name, &roots), dir });
        }
        Ok(Self(roots))
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|root| root.name.as_str())
    }

    /// The rule for paths: `NAME:` at the start chooses the root of that name, anything else is in the
    /// first root; a leading `/` is the root's top; `.` and `..` are worked out in the text, and a
    /// `..` that would leave the root is refused.
    pub(super) fn place(&self, given: &str) -> Result<Place<'_>, CallError> {
        let named = given.split_once(':').and_then(|(name, rest)| {
            let index = self.0.iter().position(|root| root.name == name)?;
            Some((index, rest))
        });
        let (index, rest) = named.unwrap_or((0, given));
        let path = clean(rest)
            .map_err(|problem| failed(format!("the path \"{}\" {problem}", given.escape_debug())))?;
        let root = self.0.get(index).ok_or(CallError::Unknown)?;
        let prefix = if index == 0 { String::new() } else { format!("{}:", root.name) };
        Ok(Place { root, prefix, path })
    }

    /// The root named as the authority of a `file:` URI; none is the first.
    pub(super) fn in_uri(&self, authority: &str, path: &str) -> Result<Place<'_>, CallError> {
        if authority.is_empty() {
            // Not through `place`: in a URI a colon in the path chooses no root.
            let name = self.0.first().map_or("", |root| &root.name);
            return self.place(&format!("{name}:{path}"));
        }
        if self.names().any(|name| name == authority) {
            self.place(&format!("{authority}:{path}"))
        } else {
            Err(CallError::Unknown)
        }
    }
}

/// Two roots of the same name get a number each after the first.
fn unused(name: String, roots: &[Root]) -> String {
    let taken = |name: &str| roots.iter().any(|root| root.name == name);
    if !taken(&name) {
        return name;
    }
    (2..).map(|n| format!("{name}-{n}")).find(|name| !taken(name)).unwrap_or(name)
}

/// A clean relative path, or what is wrong with it.
fn clean(given: &str) -> Result<String, &'static str> {
    if given.contains('\0') {
        return Err("holds a NUL character");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in given.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Err("leads outside the served directory"),
            ".." => {}
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

impl Place<'_> {
    /// The directory that cap-std keeps us in.
    pub(super) fn dir(&self) -> &Dir {
        &self.root.dir
    }

    /// The path for cap-std, relative to `dir`.
    pub(super) fn path(&self) -> &Path {
        Path::new(if self.path.is_empty() { "." } else { &self.path })
    }

    /// As it is shown, and accepted again.
    pub(super) fn shown(&self) -> String {
        format!("{}/{}", self.prefix, self.path)
    }

    pub(super) fn is_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Path of the directory that holds it, relative to `dir`.
    pub(super) fn parent(&self) -> &Path {
        Path::new(self.path.rsplit_once('/').map_or(".", |(parent, _)| parent))
    }

    /// A place below this one. Names come from the system, so they are single and clean.
    pub(super) fn child(&self, name: &str) -> Self {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}/{name}", self.path) };
        Self { root: self.root, prefix: self.prefix.clone(), path }
    }

    /// Where a symbolic link at this place leads, when it stays inside; otherwise the place itself.
    pub(super) fn followed(&self) -> io::Result<Self> {
        let is_link = match self.dir().symlink_metadata(self.path()) {
            Ok(found) => found.is_symlink(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        let path = if is_link { self.dir().canonicalize(self.path())? } else { PathBuf::from(&self.path) };
        let path = path.to_string_lossy();
        let path =
            clean(&path).map_err(|problem| io::Error::new(io::ErrorKind::PermissionDenied, problem))?;
        Ok(Self { root: self.root, prefix: self.prefix.clone(), path })
    }

    /// What failed, in words for the model: never a path outside what it may see.
    pub(super) fn failed(&self, verb: &str, error: &io::Error) -> CallError {
        failed(format!("could not {verb} \"{}\": {}", self.shown(), reason(error)))
    }
}

/// Why the system refused, without its numbers.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it does not exist".into(),
        // cap-std makes this error itself; the system's own has a number.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            "it leads outside the served directory".into()
        }
        _ => {
            let text = error.to_string();
            let text = text.split(" (os error").next().unwrap_or_default();
            text.chars()
                .next()
                .map_or_else(String::new, |first| first.to_lowercase().chain(text.chars().skip(1)).collect())
        }
    }
}

#[cfg(test)]
mod tests;
