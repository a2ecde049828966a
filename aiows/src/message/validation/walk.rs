//! Visits the values of a message, to validate a large message in parts and to find the keys of
//! maps.

use std::borrow::Cow;
use std::fmt;

use validator::{Validate, ValidationError, ValidationErrors};

use super::Names;
use super::failures::{Failures, Segment};

/// The names that serde's attributes give to the fields of a type on the wire.
///
/// `#[derive(Message)]` implements it for messages, and `#[derive(WireNames)]` for the types nested
/// in them. A failed validation then names `homeAddress.zipCode` and not `home_address.zip_code`.
///
/// ```
/// use aiows::WireNames;
/// use serde::Deserialize;
/// use validator::Validate;
///
/// #[derive(WireNames, Deserialize, Validate)]
/// #[serde(rename_all = "camelCase")]
/// struct Address {
///     #[validate(length(min = 4))]
///     zip_code: String,
/// }
/// # let _ = <Address as WireNames>::names();
/// ```
#[diagnostic::on_unimplemented(
    message = "the wire names of `{Self}` are not known",
    note = "annotate `{Self}` with `#[derive(aiows::WireNames)]`"
)]
pub trait WireNames {
    /// Returns the names of the type's fields.
    fn names() -> Names;

    /// Returns whether the type has rules.
    #[doc(hidden)]
    fn has_rules() -> bool {
        false
    }

    /// Passes the value, or the values in it, to a walk.
    #[doc(hidden)]
    fn walk(&self, walk: &mut Walk) {
        walk.count();
    }
}

/// The most values that are validated at once. The errors that validator returns for so many are
/// small enough.
const CHUNK: usize = 256;

/// Visits the values of a message, including nested ones.
pub struct Walk {
    purpose: Purpose,
}

enum Purpose {
    /// Counts values. The number is what remains of `CHUNK`.
    Count(usize),
    /// Validates each part that is small enough.
    Search(Failures),
    /// Follows one path.
    Find(Find),
}

/// The size of a field that has a rule for its length.
#[derive(Clone, Copy, Debug)]
pub enum ListSize {
    /// The walk counts the items, because they have rules.
    Walked,
    /// The items have no rules, so the walk does not visit them.
    Items(usize),
    /// The field is a text, or its type is not known.
    NoList,
}

/// Finds the key of a map entry.
struct Find {
    path: Vec<Segment>,
    /// How much of the path the walk has followed.
    depth: usize,
    key: Option<String>,
}

impl Walk {
    /// Searches a large message for failed fields, part by part. Returns `None` if the message is
    /// small enough to be validated as a whole, or if no more fields failed than an error lists.
    pub(super) fn search<T: WireNames>(message: &T) -> Option<Failures> {
        if is_small(|walk| message.walk(walk)) {
            return None;
        }
        let mut walk = Self { purpose: Purpose::Search(Failures::default()) };
        message.walk(&mut walk);
        let Purpose::Search(failures) = walk.purpose else { return None };
        Some(failures).filter(Failures::is_full)
    }

    /// Returns the key of the map entry at this path.
    pub(super) fn find_key<T: WireNames>(message: &T, path: &[Segment]) -> Option<String> {
        let find = Find { path: path.to_vec(), depth: 0, key: None };
        let mut walk = Self { purpose: Purpose::Find(find) };
        message.walk(&mut walk);
        let Purpose::Find(find) = walk.purpose else { return None };
        find.key
    }

    /// Visits one value and the values nested in it.
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
            Purpose::Search(failures) if is_small(|walk| nested(value, walk)) => {
                if let Err(errors) = check(value) {
                    failures.add(&errors, Some(T::names()));
                }
            }
            // The rules of the value itself are left to the validation of the whole message.
            Purpose::Search(_) | Purpose::Find(_) => nested(value, self),
        }
    }

    /// Visits the rule for the length of a list.
    ///
    /// validator copies a list that breaks the rule. So if the list is large, the search reports
    /// this rule alone and ends.
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
            (Purpose::Search(failures), size) if size.is_large() && !holds(bounds) => {
                failures.end_with(wire, &length_error(code, message, bounds));
            }
            (Purpose::Count(_) | Purpose::Search(_) | Purpose::Find(_), _) => {}
        }
    }

    /// Visits one value that has rules and no wire names.
    pub(super) fn unnamed<T: Validate>(&mut self, value: &T) {
        match &mut self.purpose {
            Purpose::Count(_) => self.count(),
            Purpose::Search(failures) => {
                if let Err(errors) = value.validate() {
                    failures.add(&errors, None);
                }
            }
            Purpose::Find(_) => {}
        }
    }

    /// Counts one value without nested values.
    pub(super) fn count(&mut self) {
        if let Purpose::Count(left) = &mut self.purpose {
            *left = left.saturating_sub(1);
        }
    }

    /// Visits the values in the field with this name.
    pub(super) fn field(&mut self, wire: &'static str, walk: impl FnOnce(&mut Self)) {
        self.within(Segment::Field(Cow::Borrowed(wire)), walk);
    }

    /// Visits the keys of the field with this name, which may be a map.
    pub fn keys(&mut self, wire: &'static str, key: impl FnOnce(usize) -> Option<String>) {
        let Purpose::Find(find) = &mut self.purpose else { return };
        if let [Segment::Field(name), Segment::Entry(index)] = &find.path[find.depth..]
            && name == wire
            && find.key.is_none()
        {
            find.key = key(*index);
        }
    }

    /// Visits the items of a list.
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

    /// Visits the values of a map, or the items of a set.
    pub(super) fn entries<'a, T: 'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a T>,
        walk: fn(&T, &mut Self),
    ) {
        for (index, value) in values.into_iter().enumerate() {
            if self.is_over() {
                return;
            }
            self.within(Segment::Entry(index), |this| walk(value, this));
        }
    }

    fn is_over(&self) -> bool {
        match &self.purpose {
            Purpose::Count(left) => *left == 0,
            Purpose::Search(failures) => failures.is_full(),
            Purpose::Find(_) => false,
        }
    }

    fn within(&mut self, segment: Segment, walk: impl FnOnce(&mut Self)) {
        match &mut self.purpose {
            Purpose::Count(_) => return walk(self),
            Purpose::Search(failures) => failures.path.push(segment),
            Purpose::Find(find) if find.path.get(find.depth) == Some(&segment) => find.depth += 1,
            Purpose::Find(_) => return,
        }
        walk(self);
        match &mut self.purpose {
            Purpose::Search(failures) => drop(failures.path.pop()),
            Purpose::Find(find) => find.depth -= 1,
            Purpose::Count(_) => {}
        }
    }
}

/// Returns whether the values that `show` passes to a walk are few enough to be validated at once.
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
    /// Returns whether a copy of the list may be expensive.
    fn is_large(self) -> bool {
        match self {
            Self::Walked => true,
            Self::Items(items) => items > CHUNK,
            Self::NoList => false,
        }
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Walk")
    }
}
