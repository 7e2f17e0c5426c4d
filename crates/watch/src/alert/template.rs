//! Texts of rules: `{{ name }}` stands for what is known of the alert under that name.

/// Longest text that one becomes, in bytes: several channels take no more than a few thousand of all.
pub const TEXT_LEN_MAX: usize = 1_024;

/// Where a text cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{{{{` at byte {at} is never closed: write `{{{{ name }}}}`")]
pub struct InvalidTemplate {
    /// Its place, in bytes.
    pub at: usize,
}

/// Whether a text can be filled in.
///
/// # Errors
/// Where a place for a name is never closed.
pub fn check(template: &str) -> Result<(), InvalidTemplate> {
    let mut from = 0;
    while let Some(open) = template[from..].find("{{").map(|at| from + at) {
        from = template[open..].find("}}").map(|at| open + at + 2).ok_or(InvalidTemplate { at: open })?;
    }
    Ok(())
}

/// Fills in what is known; an unknown name becomes nothing.
pub(super) fn fill(template: &str, known: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, behind)) = after.split_once("}}") else {
            rest = after;
            break;
        };
        out.push_str(&known(name.trim()).unwrap_or_default());
        rest = behind;
    }
    out.push_str(rest);
    cut(out.trim())
}

/// A text within the limit.
pub(super) fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_LEN_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let known = |name: &str| (name == "service").then(|| "web".to_owned());
        assert_eq!(fill("{{ service }} is down{{why}}.", known), "web is down.");
        assert_eq!(fill("plain", known), "plain");
        assert_eq!(fill(&"ü".repeat(TEXT_LEN_MAX), known).len(), TEXT_LEN_MAX);
        assert_eq!(check("a {{ b }} {{ c"), Err(InvalidTemplate { at: 10 }));
        assert_eq!(check("{{a}}{{b}}"), Ok(()));
    }
}
