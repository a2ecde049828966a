//! What a type does not get of a message, found at the build by letting the type read.
//!
//! A type says what it reads when it is asked to: a struct names its fields. Keys of the head are taken
//! out of every message, so a type that reads one of them gets it never.

use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, Expected, MapAccess, Unexpected,
    Visitor,
};
use serde::forward_to_deserialize_any;

use crate::id::RAW;

/// Why a type does not read a message as it is sent.
#[derive(Debug, PartialEq)]
pub(crate) enum Misfit {
    /// It has a field of this name, which the head takes.
    Field(String),
    /// It reads something else than an object.
    NoObject,
}

/// Lets a `T` read, and tells which of the keys of the head it reads as its own.
pub(crate) fn misfit<T: DeserializeOwned>(head: &[&str]) -> Option<Misfit> {
    let read = |entry| match T::deserialize(Reader { head, entry }) {
        Ok(_) => Read::Nothing,
        Err(read) => read,
    };
    match read(None) {
        Read::Field(key) => return Some(Misfit::Field(key)),
        Read::Missing(key) if head.contains(&key) => return Some(Misfit::Field(key.to_owned())),
        Read::NoObject => return Some(Misfit::NoObject),
        Read::Missing(_) | Read::Nothing | Read::Value => {}
    }
    // What takes any key is a map, which does not miss those of the head.
    if read(Some(NO_KEY)) == Read::Value {
        return None;
    }
    let key = head.iter().find(|key| read(Some(key)) == Read::Value)?;
    Some(Misfit::Field((*key).to_owned()))
}

/// What was read, as far as it came.
#[derive(Debug, PartialEq)]
enum Read {
    /// A struct with a field that is a key of the head.
    Field(String),
    Missing(&'static str),
    NoObject,
    Nothing,
    /// The value that no type takes.
    Value,
}

/// A key that no struct has.
const NO_KEY: &str = "\0 aiows";

/// A value that no type takes, unless it takes every one: bytes that are no UTF-8.
const NO_VALUE: &[u8] = b"\xff aiows";

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
            Unexpected::Bytes(NO_VALUE) => Self::Value,
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

/// An object of at most one key.
#[derive(Clone, Copy)]
struct Reader<'a> {
    head: &'a [&'a str],
    entry: Option<&'a str>,
}

impl Reader<'_> {
    /// Ends with what is known of a type that has these keys.
    fn end(self, keys: &[&str]) -> Read {
        let key = keys.iter().find(|key| self.head.contains(key));
        key.map_or(Read::Nothing, |key| Read::Field((*key).to_owned()))
    }
}

macro_rules! no_objects {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Read> {
            Err(Read::NoObject)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Read;

    no_objects! {
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
            RAW => Err(Read::Nothing),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Read> {
        Err(Read::NoObject)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        _: V,
    ) -> Result<V::Value, Read> {
        Err(Read::NoObject)
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
        seed.deserialize(NoValue)
    }
}

struct NoValue;

impl<'de> Deserializer<'de> for NoValue {
    type Error = Read;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
        visitor.visit_bytes(NO_VALUE)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
