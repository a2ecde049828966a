//! Finds types that cannot read the messages they are declared for. The build of a server runs it.
//!
//! A type reveals the fields that it reads when it is deserialized, because a struct names its
//! fields. The keys of the head are removed from every payload, so a type never receives a field
//! with the name of one of them.

use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, MapAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use crate::id::RAW_VALUE;

/// The reason for which a type cannot read its messages.
#[derive(Debug, PartialEq)]
pub(crate) enum Mismatch {
    /// The type has a field with this name, which is a key of the head.
    Field(String),
    /// The type does not deserialize from an object.
    NotAnObject,
}

/// Deserializes a `T` from a probe, and returns the first key of the head that it reads as its own.
pub(crate) fn mismatch<T: DeserializeOwned>(head: &[&str]) -> Option<Mismatch> {
    let read = |entry| match T::deserialize(Reader { head, entry }) {
        Ok(_) => Read::Nothing,
        Err(read) => read,
    };
    match read(None) {
        Read::Field(key) => return Some(Mismatch::Field(key)),
        Read::Missing(key) if head.contains(&key) => return Some(Mismatch::Field(key.to_owned())),
        Read::NotAnObject => return Some(Mismatch::NotAnObject),
        Read::Missing(_) | Read::Nothing | Read::Value => {}
    }
    // A type that accepts any key is a map, which loses no field if the keys of the head are
    // removed.
    if read(Some(NO_KEY)) == Read::Value {
        return None;
    }
    let key = head.iter().find(|key| read(Some(key)) == Read::Value)?;
    Some(Mismatch::Field((*key).to_owned()))
}

/// The first step of a type that is deserialized.
#[derive(Debug, PartialEq)]
enum Read {
    /// It expected a struct that has a field with the name of a key of the head.
    Field(String),
    Missing(&'static str),
    NotAnObject,
    Nothing,
    /// It read the value that no type accepts.
    Value,
}

/// A key that no struct has.
const NO_KEY: &str = "\0 aiows";

/// A value that only a type accepts that accepts every value: bytes that are not UTF-8.
const UNREADABLE: &[u8] = b"\xff aiows";

impl std::error::Error for Read {}

impl Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the shape was read")
    }
}

impl Error for Read {
    fn custom<T: Display>(_: T) -> Self {
        Self::Nothing
    }

    fn invalid_type(found: Unexpected<'_>, _: &dyn Expected) -> Self {
        match found {
            Unexpected::Bytes(UNREADABLE) => Self::Value,
            _ => Self::Nothing,
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }
}

/// An object with at most one key.
#[derive(Clone, Copy)]
struct Reader<'a> {
    head: &'a [&'a str],
    entry: Option<&'a str>,
}

impl Reader<'_> {
    /// Returns the result for a type that has these keys.
    fn end(self, keys: &[&str]) -> Read {
        let key = keys.iter().find(|key| self.head.contains(key));
        key.map_or(Read::Nothing, |key| Read::Field((*key).to_owned()))
    }
}

macro_rules! not_objects {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Read> {
            Err(Read::NotAnObject)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Read;

    not_objects! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_seq
        deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
        visitor.visit_map(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
        visitor.visit_map(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Read> {
        Err(Read::Nothing)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Read> {
        Err(Read::Nothing)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: V,
    ) -> Result<V::Value, Read> {
        Err(Read::Nothing)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Read> {
        match name {
            RAW_VALUE => Err(Read::Nothing),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Read> {
        Err(Read::NotAnObject)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Read> {
        Err(Read::NotAnObject)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Read> {
        Err(self.end(fields))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Read> {
        Err(self.end(variants))
    }
}

impl<'de> MapAccess<'de> for Reader<'_> {
    type Error = Read;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Read> {
        let key = self.entry.take();
        key.map(|key| seed.deserialize(StrDeserializer::new(key))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Read> {
        seed.deserialize(UnreadableValue)
    }
}

struct UnreadableValue;

impl<'de> Deserializer<'de> for UnreadableValue {
    type Error = Read;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
        visitor.visit_bytes(UNREADABLE)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
