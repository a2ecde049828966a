/// How the fields of a type are called on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    pub(super) wire: fn(&str) -> Option<&'static str>,
    pub(super) nested: fn(&str) -> Option<Self>,
    /// The code of the rule `must_match` of a field; `None` where the rules are not known.
    pub(super) matched: Option<fn(&str) -> Option<&'static str>>,
    /// The containers around the type whose items have no place on the wire, maps and sets, one bit
    /// for each, that of the outermost the lowest.
    unordered: u32,
}

impl Names {
    /// Combines the names of a type's own fields with the names of what its fields hold.
    #[must_use]
    pub const fn new(
        wire: fn(&str) -> Option<&'static str>,
        nested: fn(&str) -> Option<Self>,
    ) -> Self {
        Self { wire, nested, matched: Some(|_| None), unordered: 0 }
    }

    /// Adds which fields have a rule `must_match`, and with which code.
    #[must_use]
    pub const fn with_matched(self, matched: fn(&str) -> Option<&'static str>) -> Self {
        Self { matched: Some(matched), ..self }
    }

    /// Knows nothing but which containers are around a type.
    pub(super) const fn unknown(unordered: u32) -> Self {
        Self { wire: |_| None, nested: |_| None, matched: None, unordered }
    }

    /// The names of the items of a list are its own.
    pub(super) const fn in_list(self) -> Self {
        Self { unordered: self.unordered << 1, ..self }
    }

    /// As those of the values of a map or of a set.
    pub(super) const fn in_map(self) -> Self {
        Self { unordered: self.unordered << 1 | 1, ..self }
    }

    /// Whether the items of the outermost container have places.
    pub(super) fn have_places(self) -> bool {
        self.unordered & 1 == 0
    }

    /// The names of what is in the outermost container.
    pub(super) fn of_items(self) -> Self {
        Self { unordered: self.unordered >> 1, ..self }
    }
}
