//! The content of an enum variant, written under the name of the variant.

use serde::ser::{Serialize, SerializeStructVariant, SerializeTupleVariant};
use serde_json::Error;

/// The array of a variant like `Line(u32, u32)`.
pub(crate) struct Items<'a> {
    buffer: &'a mut Vec<u8>,
    is_begun: bool,
}

/// The object of a variant like `Circle { radius: u32 }`.
pub(crate) struct Fields<'a> {
    buffer: &'a mut Vec<u8>,
    is_begun: bool,
}

impl<'a> Items<'a> {
    pub(super) fn begin(buffer: &'a mut Vec<u8>) -> Self {
        buffer.push(b'[');
        Self { buffer, is_begun: false }
    }
}

impl<'a> Fields<'a> {
    pub(super) fn begin(buffer: &'a mut Vec<u8>) -> Self {
        buffer.push(b'{');
        Self { buffer, is_begun: false }
    }
}

/// Writes a comma, except before the first item.
fn separate(buffer: &mut Vec<u8>, is_begun: &mut bool) {
    if std::mem::replace(is_begun, true) {
        buffer.push(b',');
    }
}

impl SerializeTupleVariant for Items<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        separate(self.buffer, &mut self.is_begun);
        serde_json::to_writer(&mut *self.buffer, value)
    }

    fn end(self) -> Result<(), Error> {
        self.buffer.push(b']');
        Ok(())
    }
}

impl SerializeStructVariant for Fields<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        separate(self.buffer, &mut self.is_begun);
        serde_json::to_writer(&mut *self.buffer, key)?;
        self.buffer.push(b':');
        serde_json::to_writer(&mut *self.buffer, value)
    }

    fn end(self) -> Result<(), Error> {
        self.buffer.push(b'}');
        Ok(())
    }
}
