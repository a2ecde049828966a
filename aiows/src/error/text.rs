//! Texts that may be long, because a client or an application chose them.

use std::error::Error as StdError;
use std::fmt::{self, Write};
use std::iter;

/// The maximum length of a printed error, in bytes. It may repeat input of a client, and is written
/// to the log.
const MAX_PRINTED: usize = 4 * 1024;

/// Returns at most the first `max` bytes of a text, and ends with a whole character.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    // `str::floor_char_boundary` is newer than the oldest supported compiler.
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Prints the text that `print` writes, up to a length.
pub(super) fn print_cut(
    f: &mut fmt::Formatter<'_>,
    print: impl FnOnce(&mut Cut<'_, '_>) -> fmt::Result,
) -> fmt::Result {
    let mut text = Cut { f, left: MAX_PRINTED, is_over: false };
    let printed = print(&mut text);
    match text.is_over {
        true => f.write_str("…"),
        false => printed,
    }
}

/// Takes a text, and fails once it is too long, which ends the printing.
pub(super) struct Cut<'f, 'b> {
    f: &'f mut fmt::Formatter<'b>,
    left: usize,
    is_over: bool,
}

impl Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let taken = cut(text, self.left);
        self.left -= taken.len();
        self.f.write_str(taken)?;
        self.is_over |= taken.len() < text.len();
        if self.is_over { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Returns an error and its causes.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}
