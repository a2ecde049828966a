//! Deserializers for a single parameter and for one item of a list of parameters.

use serde::de::value::{Error, SeqDeserializer, StringDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

/// An item of a list: a pair, or only the value if parameters are read by their order.
pub(super) struct Entry {
    pub(super) pair: (String, String),
    pub(super) by_order: bool,
}

impl Entry {
    fn pair<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let (name, value) = self.pair;
        let mut seq = SeqDeserializer::new([Value(name), Value(value)].into_iter());
        let value = visitor.visit_seq(&mut seq)?;
        seq.end().map(|()| value)
    }

    fn single(self) -> Result<Value, Error> {
        match self.by_order {
            true => Ok(Value(self.pair.1)),
            false => Err(Error::custom("not a pair")),
        }
    }
}

impl<'de> Deserializer<'de> for Entry {
    type Error = Error;

    single! {}
    sequence! { pair }
    newtype! {}

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.by_order {
            true => self.single()?.deserialize_any(visitor),
            false => self.pair(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct map struct ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Entry {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// The text of one parameter, parsed as the type that the visitor expects.
pub(super) struct Value(pub(super) String);

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

    newtype! {}

    // The visitor rejects a number that its type cannot hold.
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
