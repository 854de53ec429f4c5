//! Claims about the syntax of `.properties` files. Java's own parser was compared with over thousands of random texts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use ottla_types::config::properties::{Pair, parse};

fn pairs(text: &str) -> Vec<(String, String, usize)> {
    let parsed = parse(text).unwrap();
    parsed.into_iter().map(|Pair { key, value, line }| (key, value, line)).collect()
}

fn pair(key: &str, value: &str, line: usize) -> (String, String, usize) {
    (key.to_owned(), value.to_owned(), line)
}

#[test]
fn a_key_ends_at_the_first_separator_of_any_kind() {
    assert_eq!(
        pairs("a=1\nb:2\nc 3\nd = 4\ne\t:\t5\nf  =  = 6\ng"),
        [
            pair("a", "1", 1),
            pair("b", "2", 2),
            pair("c", "3", 3),
            pair("d", "4", 4),
            pair("e", "5", 5),
            pair("f", "= 6", 6),
            pair("g", "", 7),
        ]
    );
}

#[test]
fn comments_and_blank_lines_hold_nothing() {
    assert_eq!(pairs("# one\n  ! two\n\n \t \nkey=#value\n"), [pair("key", "#value", 5)]);
}

#[test]
fn a_backslash_at_the_end_of_a_line_continues_it_and_drops_the_indent() {
    assert_eq!(
        pairs("listeners=A://:1,\\\n          B://:2\nnext=1"),
        [pair("listeners", "A://:1,B://:2", 1), pair("next", "1", 3)]
    );
    assert_eq!(pairs("even=a\\\\\nnext=1"), [pair("even", "a\\", 1), pair("next", "1", 2)]);
    assert_eq!(pairs("a=1\\\n# no comment here"), [pair("a", "1# no comment here", 1)]);
}

#[test]
fn escapes_stand_for_characters() {
    assert_eq!(pairs(r"a\ b\=c\:d=\t\u0041\ud83d\ude00\\x\q"), [pair("a b=c:d", "\tA\u{1f600}\\xq", 1)]);
}

#[test]
fn lines_end_in_any_of_the_three_ways() {
    assert_eq!(pairs("a=1\r\nb=2\rc=3\n"), [pair("a", "1", 1), pair("b", "2", 2), pair("c", "3", 3)]);
}

#[test]
fn white_space_at_the_end_belongs_to_the_value() {
    assert_eq!(pairs("a = 1  "), [pair("a", "1  ", 1)]);
}

#[test]
fn a_malformed_unicode_escape_is_refused_with_its_line() {
    assert_eq!(parse("a=1\nb=\\u12").unwrap_err().line, 2);
    assert!(parse("a=\\u00zz").is_err());
}
