//! Texts that the compiler builds, for compile errors.

/// A text that is built at compile time, for a mistake that stops the compilation.
#[derive(Clone, Copy)]
pub(crate) struct ConstText {
    bytes: [u8; Self::MAX],
    length: usize,
}

impl ConstText {
    /// The maximum length in bytes. A longer text is cut.
    const MAX: usize = 512;

    pub(crate) const fn new() -> Self {
        Self { bytes: [0; Self::MAX], length: 0 }
    }

    pub(crate) const fn with(mut self, text: &str) -> Self {
        let text = text.as_bytes();
        let mut at = 0;
        while at < text.len() && self.length < Self::MAX {
            self.bytes[self.length] = text[at];
            self.length += 1;
            at += 1;
        }
        self
    }

    /// Panics with the text. In a constant, the panic is a compile error.
    #[track_caller]
    pub(crate) const fn stop_compilation(&self) {
        let (text, _) = self.bytes.split_at(self.length);
        match std::str::from_utf8(text) {
            Ok(text) => panic!("{}", text),
            Err(_) => panic!("a handler contradicts another one, or its message"),
        }
    }
}
