use std::borrow::Cow;
use std::fmt::Write as _;

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Segment {
    /// A field, or nothing for a flattened one.
    Field(Cow<'static, str>),
    /// An item of a list.
    Index(usize),
    /// A value of a map or a set, counted in the order in which validator comes to it.
    Entry(usize),
}

/// Writes a path as it is told; `keys` are those of the maps on the way, where they are known.
pub(super) fn text(path: &[Segment], mut keys: impl FnMut(usize) -> Option<String>) -> String {
    path.iter().enumerate().fold(String::new(), |mut text, (depth, segment)| {
        let name = match segment {
            Segment::Field(name) => Cow::Borrowed(&**name),
            Segment::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(text, "[{index}]");
                return text;
            }
            // What has no key has no place, either: its path is that of the map or the set.
            Segment::Entry(_) => keys(depth).unwrap_or_default().into(),
        };
        let dot = if text.is_empty() || name.is_empty() { "" } else { "." };
        text.push_str(dot);
        text.push_str(&name);
        text
    })
}
