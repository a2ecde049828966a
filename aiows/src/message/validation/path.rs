//! The path from a message to a value in it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One step from a value to a value inside of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Segment {
    /// A field. The name of a flattened field is empty.
    Field(Cow<'static, str>),
    /// An item of a list.
    Index(usize),
    /// An entry of a map or a set, counted in the order in which validator visits it.
    Entry(usize),
}

/// Returns a path as the error shows it. `keys` returns the key of the map at a depth, if it is
/// known.
pub(super) fn text(path: &[Segment], mut keys: impl FnMut(usize) -> Option<String>) -> String {
    path.iter().enumerate().fold(String::new(), |mut text, (depth, segment)| {
        let name = match segment {
            Segment::Field(name) => Cow::Borrowed(&**name),
            Segment::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(text, "[{index}]");
                return text;
            }
            // Without a key the entry has no position either, so its path is that of the map or the
            // set.
            Segment::Entry(_) => keys(depth).unwrap_or_default().into(),
        };
        let dot = if text.is_empty() || name.is_empty() { "" } else { "." };
        text.push_str(dot);
        text.push_str(&name);
        text
    })
}
