use std::fmt;

use crate::error::Mistakes;

/// A setting that a program gives once; a later call must not replace it in silence.
#[derive(Clone)]
pub(crate) struct Once<T> {
    value: Option<T>,
    is_repeated: bool,
}

impl<T> Once<T> {
    pub(crate) fn give(&mut self, value: T) {
        self.is_repeated |= self.value.replace(value).is_some();
    }

    pub(super) fn is_given(&self) -> bool {
        self.value.is_some()
    }

    /// Returns the value, and notes a mistake if it was given more than once.
    pub(crate) fn take(&mut self, method: &str, mistakes: &mut Mistakes) -> Option<T> {
        if self.is_repeated {
            mistakes.add(format!(
                "`{method}` is called more than once, and the last call would replace what \
                 the others say: put it all into one call"
            ));
        }
        self.value.take()
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self { value: None, is_repeated: false }
    }
}

impl<T: fmt::Debug> fmt::Debug for Once<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
