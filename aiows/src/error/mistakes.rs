//! The mistakes that one build error lists.

use super::Error;

/// The mistakes in a registration, collected so that one error lists them all.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<String>);

impl Mistakes {
    pub(crate) fn add(&mut self, mistake: impl Into<String>) {
        self.0.push(mistake.into());
    }

    pub(crate) fn extend(&mut self, mistakes: impl IntoIterator<Item = String>) {
        self.0.extend(mistakes);
    }

    pub(crate) fn into_error(self) -> Error {
        Error::registration(self.0)
    }

    /// Returns the value if there is no mistake.
    pub(crate) fn or_ok<T>(self, value: T) -> Result<T, Error> {
        match self.0.is_empty() {
            true => Ok(value),
            false => Err(self.into_error()),
        }
    }
}
