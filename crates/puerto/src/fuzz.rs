//! What must hold of readers of foreign text, whatever the text: `make fuzz` looks for one that breaks it, and the
//! test below reads the seeds of fuzz/corpus. Each function panics where something does not hold.

/// A configuration is taken over or told of, with places inside the text.
pub fn configuration(text: &str) {
    crate::config::fuzz::holds(text);
}

/// A file of another program, and behind a line of dashes the configuration that it is taken over into.
pub fn import(text: &str) {
    crate::command::import::fuzz::holds(text);
}

/// A message of a page on its WebSocket.
pub fn app(text: &[u8]) {
    crate::http::fuzz::holds(text);
}

/// What people see holds nothing that a terminal would act on, but for line ends.
pub(crate) fn is_harmless(shown: &str) -> bool {
    shown.chars().all(|c| c == '\n' || !c.is_control())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Reads every seed of a target.
    fn seeds(target: &str, holds: impl Fn(&[u8])) {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            holds(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 2, "{target} has {count} seeds");
    }

    #[test]
    fn every_seed_holds() {
        seeds("configuration", |text| super::configuration(std::str::from_utf8(text).unwrap()));
        seeds("import", |text| super::import(std::str::from_utf8(text).unwrap()));
        seeds("app", super::app);
    }
}
