//! Lines and names that a search finds.

use super::*;

#[test]
fn lines_are_found_once_each_with_their_numbers() {
    let found = matching_lines(&Finder::new("x"), b"x x\nno\n\nax\r\nlast x", 10);
    assert_eq!(found, [(1, "x x".into()), (4, "ax".into()), (5, "last x".into())]);
    assert_eq!(matching_lines(&Finder::new("x"), b"x\nx\nx", 2).len(), 2);
    assert!(matching_lines(&Finder::new("x"), b"", 2).is_empty());
}

#[test]
fn a_long_line_is_cut_around_its_match() {
    let line = format!("{}needle{}", "a".repeat(5000), "b".repeat(5000));
    let (_, shown) = matching_lines(&Finder::new("needle"), line.as_bytes(), 1).remove(0);
    assert!(shown.contains("needle") && shown.chars().count() <= LINE_CHARS_MAX, "{shown}");
}
