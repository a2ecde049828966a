//! Payloads that are JSON already.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Error;

use super::super::head::Key;
use super::{Object, not_an_object};

/// Appends the fields of an object that is JSON already, in the form in which it is written.
#[cold]
pub(super) fn append_raw<T: Serialize + ?Sized>(
    object: &mut Object<'_>,
    name: &'static str,
    value: &T,
) -> Result<(), Error> {
    let at = object.buffer.len();
    serde_json::to_writer(&mut *object.buffer, &Raw { name, value })?;
    let text = &object.buffer[at..];
    let keys = if text == b"null" { Keys::default() } else { Keys::read(text)? };
    keys.0.iter().try_for_each(|key| object.keys.check(key))?;
    if keys.0.is_empty() {
        object.buffer.truncate(at);
    } else {
        // `{"a":1}` continues the object that was begun.
        object.buffer[at] = b',';
        object.buffer.pop();
    }
    Ok(())
}

/// JSON in the form that serde_json expects for it.
struct Raw<'a, T: ?Sized> {
    name: &'static str,
    value: &'a T,
}

impl<T: Serialize + ?Sized> Serialize for Raw<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct(self.name, 1)?;
        json.serialize_field(self.name, self.value)?;
        json.end()
    }
}

/// The keys of an object.
#[derive(Default)]
struct Keys<'a>(Vec<Cow<'a, str>>);

impl<'a> Keys<'a> {
    fn read(text: &'a [u8]) -> Result<Self, Error> {
        if text.first() != Some(&b'{') || text.last() != Some(&b'}') {
            return Err(not_an_object());
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let keys = json.deserialize_map(KeysVisitor)?;
        json.end().map(|()| keys)
    }
}

struct KeysVisitor;

impl<'de> Visitor<'de> for KeysVisitor {
    type Value = Keys<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys<'de>, A::Error> {
        let mut keys = Keys::default();
        while let Some((Key(key), IgnoredAny)) = map.next_entry()? {
            keys.0.push(key);
        }
        Ok(keys)
    }
}
