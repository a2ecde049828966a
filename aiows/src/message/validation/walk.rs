use std::borrow::Cow;
use std::fmt::{self, Write as _};

use validator::{Validate, ValidationError, ValidationErrors};

use super::faults::{Faults, join};
use super::{Names, WireNames};

/// Values that are validated at once at most; what validator finds in so many is small enough.
const CHUNK: usize = 256;

/// Goes through the values a message consists of, nested ones included.
pub struct Walk {
    purpose: Purpose,
}

enum Purpose {
    /// Counts up to `CHUNK`: this many are left.
    Count(usize),
    /// Validates what is small enough.
    Search(Search),
}

/// What is known about the size of a field whose length has a rule.
#[derive(Clone, Copy, Debug)]
pub enum ListSize {
    /// The walk counts the items, which have rules.
    Walked,
    /// The items are of no interest to the walk.
    Items(usize),
    /// It is a text, or of a type that is not known.
    NoList,
}

#[derive(Default)]
struct Search {
    faults: Faults,
    path: Vec<Segment>,
}

#[derive(Clone, Copy)]
enum Segment {
    Field(&'static str),
    Index(usize),
}

impl Walk {
    /// Looks for more faults than are told in a message that is too large to be validated at once; `None`
    /// if it may be.
    pub(super) fn search<T: WireNames>(message: &T) -> Option<Faults> {
        if is_small(|walk| message.walk(walk)) {
            return None;
        }
        let mut walk = Self { purpose: Purpose::Search(Search::default()) };
        message.walk(&mut walk);
        match walk.purpose {
            Purpose::Search(search) => Some(search.faults).filter(Faults::are_enough),
            Purpose::Count(_) => None,
        }
    }

    /// Shows one value and what is nested in it.
    pub fn value<T: WireNames>(
        &mut self,
        value: &T,
        check: fn(&T) -> Result<(), ValidationErrors>,
        nested: fn(&T, &mut Self),
    ) {
        match &mut self.purpose {
            Purpose::Count(_) => {
                self.count();
                nested(value, self);
            }
            Purpose::Search(search) if is_small(|walk| nested(value, walk)) => {
                search.note(check(value), Some(T::names()));
            }
            // Its own rules are left to the validation of the whole message.
            Purpose::Search(_) => nested(value, self),
        }
    }

    /// Shows the rule for the length of a list. validator copies a list that breaks it, so if the list
    /// is large, nothing else is looked at.
    pub fn length(
        &mut self,
        wire: &'static str,
        size: ListSize,
        code: &'static str,
        message: Option<&'static str>,
        bounds: [Option<u64>; 3],
        holds: impl FnOnce([Option<u64>; 3]) -> bool,
    ) {
        match (&mut self.purpose, size) {
            (Purpose::Count(left), ListSize::Items(items)) => *left = left.saturating_sub(items),
            (Purpose::Search(search), size) if size.is_large() && !holds(bounds) => {
                search.end_with(wire, &length_error(code, message, bounds));
            }
            (Purpose::Count(_) | Purpose::Search(_), _) => {}
        }
    }

    /// Shows one value that has rules, and no names.
    pub(super) fn unnamed<T: Validate>(&mut self, value: &T) {
        match &mut self.purpose {
            Purpose::Count(_) => self.count(),
            Purpose::Search(search) => search.note(value.validate(), None),
        }
    }

    /// Counts one value, in which nothing is nested.
    pub(super) fn count(&mut self) {
        if let Purpose::Count(left) = &mut self.purpose {
            *left = left.saturating_sub(1);
        }
    }

    /// Shows what is in the field of this name.
    pub(super) fn field(&mut self, wire: &'static str, walk: impl FnOnce(&mut Self)) {
        self.within(Segment::Field(wire), walk);
    }

    /// Shows the items of a list.
    pub(super) fn items<'a, T: 'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a T>,
        walk: fn(&T, &mut Self),
    ) {
        for (index, item) in items.into_iter().enumerate() {
            if self.is_over() {
                return;
            }
            self.within(Segment::Index(index), |this| walk(item, this));
        }
    }

    /// Shows the values of a map, which have no place in a path.
    pub(super) fn values<'a, T: 'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a T>,
        walk: fn(&T, &mut Self),
    ) {
        for value in values {
            if self.is_over() {
                return;
            }
            walk(value, self);
        }
    }

    fn is_over(&self) -> bool {
        match &self.purpose {
            Purpose::Count(left) => *left == 0,
            Purpose::Search(search) => search.faults.are_enough(),
        }
    }

    fn within(&mut self, segment: Segment, walk: impl FnOnce(&mut Self)) {
        if let Purpose::Search(search) = &mut self.purpose {
            search.path.push(segment);
        }
        walk(self);
        if let Purpose::Search(search) = &mut self.purpose {
            search.path.pop();
        }
    }
}

/// Tells whether what is shown to a walk is not too much to be validated at once.
fn is_small(show: impl FnOnce(&mut Walk)) -> bool {
    let mut walk = Walk { purpose: Purpose::Count(CHUNK) };
    show(&mut walk);
    !walk.is_over()
}

fn length_error(
    code: &'static str,
    message: Option<&'static str>,
    bounds: [Option<u64>; 3],
) -> ValidationError {
    let mut error = ValidationError::new(code);
    error.message = message.map(Cow::Borrowed);
    for (name, bound) in ["min", "max", "equal"].into_iter().zip(bounds) {
        if let Some(bound) = bound {
            error.add_param(Cow::Borrowed(name), &bound);
        }
    }
    error
}

impl ListSize {
    /// Whether a copy of the list may cost much.
    fn is_large(self) -> bool {
        match self {
            Self::Walked => true,
            Self::Items(items) => items > CHUNK,
            Self::NoList => false,
        }
    }
}

impl Search {
    fn end_with(&mut self, wire: &str, error: &ValidationError) {
        let path = join(&self.path(), wire);
        self.faults.end_with(&path, error);
    }

    fn note(&mut self, checked: Result<(), ValidationErrors>, names: Option<Names>) {
        if let Err(errors) = checked {
            let path = self.path();
            self.faults.add(&errors, names, &path);
        }
    }

    fn path(&self) -> String {
        self.path.iter().fold(String::new(), |mut path, segment| match segment {
            Segment::Field(wire) => join(&path, wire),
            Segment::Index(index) => {
                // Writing to a string cannot fail.
                let _ = write!(path, "[{index}]");
                path
            }
        })
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Walk")
    }
}
