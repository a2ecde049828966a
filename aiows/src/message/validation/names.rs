//! The wire names of a type's fields.

/// The names of a type's fields on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Returns the wire name of a field, or `None` for a field that it does not know.
    pub(super) wire: fn(&str) -> Option<&'static str>,
    /// Returns the names of the type that a field holds, if they are known.
    pub(super) nested: fn(&str) -> Option<Self>,
    /// Returns the code of the `must_match` rule of a field, if it has one. `None` if the rules of
    /// the type are not known.
    pub(super) matched: Option<fn(&str) -> Option<&'static str>>,
    /// The containers around the type in which items have no position on the wire, such as maps and
    /// sets. One bit for each nested container, from the outermost at the lowest bit.
    unordered: u32,
}

impl Names {
    /// Combines the names of a type's own fields with the names of the types in its fields.
    #[must_use]
    pub const fn new(
        wire: fn(&str) -> Option<&'static str>,
        nested: fn(&str) -> Option<Self>,
    ) -> Self {
        Self { wire, nested, matched: Some(|_| None), unordered: 0 }
    }

    /// Adds the fields that have a rule `must_match`, with the code of that rule.
    #[must_use]
    pub const fn with_matched(self, matched: fn(&str) -> Option<&'static str>) -> Self {
        Self { matched: Some(matched), ..self }
    }

    /// Makes names that know only the containers around a type.
    pub(super) const fn unknown(unordered: u32) -> Self {
        Self { wire: |_| None, nested: |_| None, matched: None, unordered }
    }

    /// Returns the names of a list of this type.
    pub(super) const fn in_list(self) -> Self {
        Self { unordered: self.unordered << 1, ..self }
    }

    /// Returns the names of a map with values of this type, or of a set of it.
    pub(super) const fn in_map(self) -> Self {
        Self { unordered: self.unordered << 1 | 1, ..self }
    }

    /// Returns whether the items of the outermost container have positions.
    pub(super) fn have_positions(self) -> bool {
        self.unordered & 1 == 0
    }

    /// Returns the names of the items in the outermost container.
    pub(super) fn of_items(self) -> Self {
        Self { unordered: self.unordered >> 1, ..self }
    }
}
