//! Archives. One that is taken as whole is so with all its lines alone: without any one of them, or with two of them
//! changed about, it is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use puerto_store::archive::check;

fn is_whole(lines: &[&str]) -> bool {
    check(lines.iter().map(|line| Ok((*line).to_owned()))).is_ok()
}

fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.lines().collect();
    if !is_whole(&lines) {
        return;
    }
    for at in 0..lines.len() {
        let mut less = lines.clone();
        less.remove(at);
        assert!(!is_whole(&less), "whole without line {}", at + 1);
        let mut changed = lines.clone();
        changed.swap(at, (at + 1) % lines.len());
        assert!(changed == lines || !is_whole(&changed), "whole with line {} elsewhere", at + 1);
    }
});
