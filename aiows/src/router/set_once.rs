//! Settings that a program may set once.

use std::fmt;

use crate::error::Mistakes;

/// A setting that may be set once. A second call is a mistake, since it would silently replace the
/// first value.
#[derive(Clone)]
pub(crate) struct SetOnce<T> {
    value: Option<T>,
    is_repeated: bool,
}

impl<T> SetOnce<T> {
    pub(crate) fn set(&mut self, value: T) {
        self.is_repeated |= self.value.replace(value).is_some();
    }

    pub(super) fn is_set(&self) -> bool {
        self.value.is_some()
    }

    /// Returns the value, and reports a mistake if it was set more than once.
    pub(crate) fn take(&mut self, method: &str, mistakes: &mut Mistakes) -> Option<T> {
        if self.is_repeated {
            mistakes.add(format!(
                "`{method}` is called more than once, and each call would replace the one before: \
                 combine them into one call"
            ));
        }
        self.value.take()
    }
}

impl<T> Default for SetOnce<T> {
    fn default() -> Self {
        Self { value: None, is_repeated: false }
    }
}

impl<T: fmt::Debug> fmt::Debug for SetOnce<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
