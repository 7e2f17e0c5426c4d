//! Which names are accepted, and which are not.

use super::*;

#[test]
fn names_are_checked_once_at_the_edge() {
    for good in ["a", "sqlite-demo", "A_1", "0x", &"n".repeat(64)] {
        assert!(ServerName::new(good).is_ok(), "{good}");
    }
    for bad in ["", "-a", "_a", "a.b", "a b", "ä", "a/b", &"n".repeat(65)] {
        assert!(ServerName::new(bad).is_err(), "{bad}");
    }
    assert!(ServiceName::new("api.example.com").is_ok());
    for bad in ["", ".a", "a b", "a/b", &"n".repeat(65)] {
        assert!(ServiceName::new(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_tool_name_splits_at_the_first_dot() {
    let name = ToolName::parse("files.read.text").unwrap();
    assert_eq!((name.server.as_str(), &*name.tool), ("files", "read.text"));
    assert_eq!(name.to_string(), "files.read.text");
    for bad in ["files", "files.", ".read", "a b.c"] {
        assert!(ToolName::parse(bad).is_none(), "{bad}");
    }
}

#[test]
fn request_ids_differ() {
    let ids: std::collections::HashSet<_> = (0..1000).map(|_| RequestId::next()).collect();
    assert_eq!(ids.len(), 1000);
}

#[test]
fn request_ids_read_as_hex() {
    for number in [0, 1, 15, 16, 0xabc, u64::MAX] {
        assert_eq!(RequestId::from_number(number).to_string(), format!("r{number:x}"));
    }
}

/// The first one too: two processes that write to one store must not have it in common.
#[test]
fn ids_of_requests_begin_at_random_and_come_once() {
    let threads = (0..8).map(|_| std::thread::spawn(|| [(); 100].map(|()| RequestId::next().number())));
    let threads: Vec<_> = threads.collect();
    let mut ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(ids.iter().all(|id| *id >= 1 << 32), "{:?}", ids.iter().min());
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 800);
}
