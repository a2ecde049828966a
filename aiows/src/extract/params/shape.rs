//! Checks at the build whether a query or a path can fit a type, by letting the type deserialize.

use std::fmt::{self, Display};
use std::panic::catch_unwind;

use serde::de::value::SeqDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Returns whether a query can fit a `T`, as far as the type shows it.
pub(in crate::extract) fn fits_query<T: DeserializeOwned>() -> bool {
    // The type is code of the application. If it panics here, the requests that cause the panic
    // report it.
    !matches!(catch_unwind(|| T::deserialize(Query).err()), Ok(Some(Read::Single)))
}

/// Returns the number of parameters that a `T` takes by their order, if no path with `params` of
/// them fits it.
pub(in crate::extract) fn other_count<T: DeserializeOwned>(params: usize) -> Option<usize> {
    let taken = match catch_unwind(|| T::deserialize(Path).err()) {
        Ok(Some(Read::Single)) => 1,
        Ok(Some(Read::Tuple(length))) => length,
        // The last fields of a tuple struct may have defaults.
        Ok(Some(Read::TupleStruct(length))) => length.min(params),
        Ok(Some(Read::Other) | None) | Err(_) => params,
    };
    (taken != params).then_some(taken)
}

/// The first thing that the type read.
#[derive(Debug)]
enum Read {
    Other,
    /// One value, although a query has names and values.
    Single,
    Tuple(usize),
    TupleStruct(usize),
}

impl std::error::Error for Read {}

impl Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("only the shape was read")
    }
}

impl Error for Read {
    fn custom<T: Display>(_: T) -> Self {
        Self::Other
    }
}

macro_rules! ends_with {
    ($read:ident: $($method:ident($($argument:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $(_: $argument,)* _: V) -> Result<V::Value, Read> {
            Err(Read::$read)
        }
    )*};
}

macro_rules! singles {
    () => {
        ends_with! {
            Single:
            deserialize_bool();
            deserialize_i8();
            deserialize_i16();
            deserialize_i32();
            deserialize_i64();
            deserialize_i128();
            deserialize_u8();
            deserialize_u16();
            deserialize_u32();
            deserialize_u64();
            deserialize_u128();
            deserialize_f32();
            deserialize_f64();
            deserialize_char();
            deserialize_str();
            deserialize_string();
            deserialize_identifier();
            deserialize_enum(&'static str, &'static [&'static str]);
        }

        fn deserialize_newtype_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            visitor: V,
        ) -> Result<V::Value, Read> {
            visitor.visit_newtype_struct(self)
        }

        fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
            visitor.visit_some(self)
        }
    };
}

struct Query;

impl Query {
    fn items<'de, V: Visitor<'de>>(visitor: V) -> Result<V::Value, Read> {
        visitor.visit_seq(SeqDeserializer::new([Item].into_iter()))
    }
}

impl<'de> Deserializer<'de> for Query {
    type Error = Read;

    singles! {}

    ends_with! {
        Other:
        deserialize_any();
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Read> {
        Self::items(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Read> {
        Self::items(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Read> {
        Self::items(visitor)
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct map struct ignored_any
    }
}

struct Path;

impl<'de> Deserializer<'de> for Path {
    type Error = Read;

    singles! {}

    ends_with! {
        Other:
        deserialize_any();
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, _: V) -> Result<V::Value, Read> {
        Err(Read::Tuple(length))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        _: V,
    ) -> Result<V::Value, Read> {
        Err(Read::TupleStruct(length))
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct seq map struct ignored_any
    }
}

/// One parameter of a query, as a pair.
struct Item;

impl<'de> Deserializer<'de> for Item {
    type Error = Read;

    singles! {}

    ends_with! {
        Other:
        deserialize_any();
    }

    forward_to_deserialize_any! {
        bytes byte_buf unit unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

impl IntoDeserializer<'_, Read> for Item {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
