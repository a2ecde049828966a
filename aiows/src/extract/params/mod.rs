//! Reads named texts, from a path or a query, into any type.

// Parts that several deserializers of parameters have in common.

/// Reads the only value, if there is exactly one.
macro_rules! single {
    () => {
        single! {
            deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
            deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
            deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
            deserialize_string deserialize_identifier
        }

        fn deserialize_enum<V: Visitor<'de>>(
            self,
            name: &'static str,
            variants: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.single()?.deserialize_enum(name, variants, visitor)
        }
    };
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.single()?.$method(visitor)
        }
    )*};
}

/// Reads a list or a tuple with the given method.
macro_rules! sequence {
    ($read:ident) => {
        fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.$read(visitor)
        }

        fn deserialize_tuple<V: Visitor<'de>>(
            self,
            _: usize,
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.$read(visitor)
        }

        fn deserialize_tuple_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            _: usize,
            visitor: V,
        ) -> Result<V::Value, Error> {
            self.$read(visitor)
        }
    };
}

/// Reads a newtype like the type in it.
macro_rules! newtype {
    () => {
        fn deserialize_newtype_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            visitor: V,
        ) -> Result<V::Value, Error> {
            visitor.visit_newtype_struct(self)
        }
    };
}

mod item;
mod shape;

use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error as _, Visitor};
use serde::forward_to_deserialize_any;

use self::item::{Entry, Value};
pub(super) use self::shape::{fits_query, other_count};
use crate::codec::{PRIVATE, explain};
use crate::error::{FieldError, FieldPath, mistake};

/// Reads a `T` from `pairs`, by their names or, if `by_order` allows it, by their order.
///
/// # Errors
///
/// Returns the error of the pair that does not fit, without its value.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    pairs: Vec<(String, String)>,
    by_order: bool,
) -> Result<T, FieldError> {
    if let Some((name, _)) = pairs.iter().find(|(name, _)| name.starts_with(PRIVATE)) {
        return Err(FieldPath(name.clone()).into_error(mistake::NO_PARAMETER));
    }
    let names: Vec<String> = pairs.iter().map(|(name, _)| name.clone()).collect();
    serde_path_to_error::deserialize(Params { pairs, by_order }).map_err(|error| {
        let mut field = explain(&error, None);
        if field.code == mistake::UNKNOWN.code {
            field.message = mistake::NO_PARAMETER.text.into();
        }
        // A value that was read by its order is reported under its name.
        let order = match field.path.as_str() {
            "" if by_order && names.len() == 1 => Some(0),
            path => path.strip_prefix('[').and_then(|rest| rest.split(']').next()?.parse().ok()),
        };
        if let Some(name) = order.and_then(|order: usize| names.get(order)) {
            field.path = FieldPath(name.clone()).into_text();
        }
        field
    })
}

struct Params {
    pairs: Vec<(String, String)>,
    by_order: bool,
}

impl Params {
    fn map<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let pairs = self.pairs.into_iter().map(|(name, value)| (name, Value(value)));
        let mut map = MapDeserializer::new(pairs);
        let value = visitor.visit_map(&mut map)?;
        map.end().map(|()| value)
    }

    fn seq<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let by_order = self.by_order;
        let entries = self.pairs.into_iter().map(|pair| Entry { pair, by_order });
        let mut seq = SeqDeserializer::new(entries);
        let value = visitor.visit_seq(&mut seq)?;
        seq.end().map(|()| value)
    }

    /// Returns the value if it is the only one.
    fn single(mut self) -> Result<Value, Error> {
        match self.pairs.pop() {
            Some((_, value)) if self.by_order && self.pairs.is_empty() => Ok(Value(value)),
            _ => Err(Error::custom("not one value")),
        }
    }
}

impl<'de> Deserializer<'de> for Params {
    type Error = Error;

    single! {}
    sequence! { seq }
    newtype! {}

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.pairs.is_empty() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bytes byte_buf map struct ignored_any
    }
}
