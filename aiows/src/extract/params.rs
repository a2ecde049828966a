//! Named texts, as a path or a query holds them, read into any type.

use serde::Deserialize;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{
    Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor, value::StringDeserializer,
};
use serde::forward_to_deserialize_any;

use crate::codec::field_error;
use crate::error::FieldError;

/// Reads a `T` out of `pairs`, by their names or, where that is allowed, by their order.
///
/// # Errors
///
/// The pair that does not fit, never its value.
pub(super) fn read<T: for<'de> Deserialize<'de>>(
    pairs: Vec<(String, String)>,
    by_order: bool,
) -> Result<T, FieldError> {
    let names: Vec<String> = match by_order {
        true => pairs.iter().map(|(name, _)| name.clone()).collect(),
        false => Vec::new(),
    };
    serde_path_to_error::deserialize(Params { pairs, by_order }).map_err(|error| {
        let mut field = field_error(error.path(), &error.inner().to_string());
        if field.code == "unknown" {
            field.message = "is not a parameter of this request".into();
        }
        // A value taken by its order is told under its name.
        let order = match field.path.as_str() {
            "" if names.len() == 1 => Some(0),
            path => path.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')?.parse().ok()),
        };
        if let Some(name) = order.and_then(|order: usize| names.get(order)) {
            field.path.clone_from(name);
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
        if !self.by_order {
            return self.map(visitor);
        }
        let mut seq = SeqDeserializer::new(self.pairs.into_iter().map(|(_, value)| Value(value)));
        let value = visitor.visit_seq(&mut seq)?;
        seq.end().map(|()| value)
    }

    /// The value, if there is one alone.
    fn single(mut self) -> Result<Value, Error> {
        match self.pairs.pop() {
            Some((_, value)) if self.by_order && self.pairs.is_empty() => Ok(Value(value)),
            _ => Err(Error::custom("not one value")),
        }
    }
}

macro_rules! single {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.single()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Params {
    type Error = Error;

    single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_i128 deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
        deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_identifier
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.map(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.seq(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.pairs.is_empty() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct map struct ignored_any
    }
}

/// One text, read as what is asked for.
struct Value(String);

impl Value {
    fn wrong<'de, V: Visitor<'de>>(visitor: &V) -> Error {
        Error::invalid_type(Unexpected::Other("text"), visitor)
    }
}

macro_rules! parsed {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$type>() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Self::wrong(&visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value {
    type Error = Error;

    // The visitor refuses a number that its type cannot hold.
    parsed! {
        deserialize_bool visit_bool bool;
        deserialize_i8 visit_i64 i64;
        deserialize_i16 visit_i64 i64;
        deserialize_i32 visit_i64 i64;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_u8 visit_u64 u64;
        deserialize_u16 visit_u64 u64;
        deserialize_u32 visit_u64 u64;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
        deserialize_f32 visit_f64 f64;
        deserialize_f64 visit_f64 f64;
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text: StringDeserializer<Error> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
