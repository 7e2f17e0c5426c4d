//! Where other programs keep their list of servers, for `import` and `export`.

use std::path::{Path, PathBuf};

use crate::cli::ClientKind;
use crate::config::Env;

impl ClientKind {
    /// Its name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::ClaudeDesktop => "Claude Desktop",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::Vscode => "VS Code",
            Self::Windsurf => "Windsurf",
            Self::Codex => "Codex",
        }
    }

    /// The file of the whole user account; `None` where nothing says where the home directory is.
    pub(crate) fn user_file(self, env: Env<'_>) -> Option<PathBuf> {
        let home = home(env);
        match self {
            Self::ClaudeDesktop => Some(settings(env)?.join("Claude/claude_desktop_config.json")),
            Self::ClaudeCode => Some(home?.join(".claude.json")),
            Self::Cursor => Some(home?.join(".cursor/mcp.json")),
            Self::Vscode => Some(settings(env)?.join("Code/User/mcp.json")),
            Self::Windsurf => Some(home?.join(".codeium/windsurf/mcp_config.json")),
            Self::Codex => {
                let own = env("CODEX_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
                Some(own.or_else(|| Some(home?.join(".codex")))?.join("config.toml"))
            }
        }
    }

    /// The file of a project, in the project's directory.
    pub(crate) const fn project_file(self) -> Option<&'static str> {
        match self {
            Self::ClaudeCode => Some(".mcp.json"),
            Self::Cursor => Some(".cursor/mcp.json"),
            Self::Vscode => Some(".vscode/mcp.json"),
            Self::Codex => Some(".codex/config.toml"),
            Self::ClaudeDesktop | Self::Windsurf => None,
        }
    }
}

fn home(env: Env<'_>) -> Option<PathBuf> {
    let named = |name: &str| env(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    named("HOME").or_else(|| if cfg!(windows) { named("USERPROFILE") } else { None })
}

/// Where programs with windows keep their settings.
fn settings(env: Env<'_>) -> Option<PathBuf> {
    let named = |name: &str| env(name).filter(|dir| !dir.is_empty()).map(PathBuf::from);
    if cfg!(target_os = "macos") {
        return Some(home(env)?.join("Library/Application Support"));
    }
    if cfg!(windows) {
        return named("APPDATA");
    }
    named("XDG_CONFIG_HOME").or_else(|| Some(home(env)?.join(".config")))
}

/// A path for people: `~` for the home directory.
pub(crate) fn shown(path: &Path, env: Env<'_>) -> String {
    match home(env)
        .filter(|home| home.parent().is_some())
        .and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned))
    {
        Some(rest) => Path::new("~").join(rest).display().to_string(),
        None => path.display().to_string(),
    }
}
