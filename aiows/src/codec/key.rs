//! A key of an object, deserialized in the way of serde_json: a type that expects a number, a
//! `bool` or a newtype of these gets it from the text of the key.

use serde::Deserializer;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::forward_to_deserialize_any;

/// A key, with the deserializer of its text.
pub(super) struct ObjectKey<'a, D> {
    pub(super) text: &'a str,
    pub(super) json: D,
}

/// Parses a number in the syntax of JSON, without white space around it.
fn number<T: DeserializeOwned, E: Error>(text: &str) -> Result<T, E> {
    match text.trim_ascii() == text {
        true => serde_json::from_str(text).map_err(E::custom),
        false => Err(E::custom("expected key to be a number in quotes")),
    }
}

macro_rules! numbers {
    ($($deserialize:ident $visit:ident,)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            visitor.$visit(number(self.text)?)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectKey<'_, D> {
    type Error = D::Error;

    #[inline]
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.json.deserialize_any(visitor)
    }

    numbers! {
        deserialize_i8 visit_i8,
        deserialize_i16 visit_i16,
        deserialize_i32 visit_i32,
        deserialize_i64 visit_i64,
        deserialize_i128 visit_i128,
        deserialize_u8 visit_u8,
        deserialize_u16 visit_u16,
        deserialize_u32 visit_u32,
        deserialize_u64 visit_u64,
        deserialize_u128 visit_u128,
        deserialize_f32 visit_f32,
        deserialize_f64 visit_f64,
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        match self.text {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => self.json.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.json.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}
