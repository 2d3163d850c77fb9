//! The tests of the tests: a wrong index makes the comparison fail, and one past the end is reported.

use super::pictures::check_one;
use super::program::{Bug, Program};

#[test]
fn a_wrong_index_is_a_difference() {
    let Some(mut program) = Program::with_bug(Bug::WrongIndex) else { return };
    let said = check_one(&mut program).unwrap_err();
    assert!(said.contains("bytes differ"), "{said}");
}

#[test]
fn a_read_past_the_end_is_reported() {
    let Some(mut program) = Program::with_bug(Bug::OutOfBounds) else { return };
    let said = check_one(&mut program).unwrap_err();
    assert!(said.contains("AddressSanitizer: heap-buffer-overflow"), "{said}");
}

#[test]
fn without_a_bug_there_is_no_difference() {
    let Some(mut program) = Program::start() else { return };
    assert_eq!(check_one(&mut program), Ok(()));
}
