//! Writes a payload as the rest of an object that the head of a message has begun.
//!
//! The top-level fields are written here one by one, so that an object without fields and a key of
//! the head are found on the way, whatever type the payload has. The values of the fields are left
//! to serde_json.

mod raw; // payloads that are JSON already
mod variant; // variants of enums

use serde::ser::{Error as _, Impossible, Serialize, SerializeMap, SerializeStruct, Serializer};
use serde_json::Error;

use self::raw::append_raw;
use self::variant::{Fields, Items};
use super::reserved_keys::PRIVATE;

/// The keys that a payload must not have. If there are fewer than three, one of them is repeated.
#[derive(Clone, Copy)]
pub(super) struct HeadKeys<'a>(pub(super) [&'a str; 3]);

impl HeadKeys<'_> {
    #[inline]
    fn check(self, key: &str) -> Result<(), Error> {
        let [first, second, third] = self.0;
        match key == first || key == second || key == third {
            false => Ok(()),
            true => Err(taken(key)),
        }
    }

    /// Checks a key that serde_json has written as JSON.
    fn check_json(self, json: &[u8]) -> Result<(), Error> {
        if json.contains(&b'\\') {
            return self.check(&serde_json::from_slice::<String>(json)?);
        }
        let key = json.get(1..json.len() - 1).unwrap_or_default();
        match self.0.into_iter().find(|taken| taken.as_bytes() == key) {
            None => Ok(()),
            Some(key) => Err(taken(key)),
        }
    }
}

#[cold]
fn taken(key: &str) -> Error {
    Error::custom(format_args!(
        "the key `{key}` belongs to the head of a message, rename it or move it into a field that \
         holds an object"
    ))
}

#[cold]
fn not_an_object() -> Error {
    Error::custom("a message is written as a JSON object")
}

/// Appends the fields of a payload to an object that has at least one key. Does not close the
/// object.
pub(super) struct Object<'a> {
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) keys: HeadKeys<'a>,
}

impl Object<'_> {
    /// Writes `,"key":`.
    #[inline]
    fn write_key(&mut self, key: &str) -> Result<(), Error> {
        self.keys.check(key)?;
        self.buffer.push(b',');
        serde_json::to_writer(&mut *self.buffer, key)?;
        self.buffer.push(b':');
        Ok(())
    }

    #[inline]
    fn write_entry<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Error> {
        self.write_key(key)?;
        serde_json::to_writer(&mut *self.buffer, value)
    }
}

/// Rejects values that JSON does not write as an object.
macro_rules! not_objects {
    ($($method:ident($($argument:ty),*) -> $output:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$output, Error> {
            Err(not_an_object())
        })*
    };
}

impl<'a> Serializer for Object<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Impossible<(), Error>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Self;
    type SerializeStruct = ObjectStruct<'a>;
    type SerializeStructVariant = Fields<'a>;

    not_objects! {
        serialize_bool(bool) -> ();
        serialize_i8(i8) -> ();
        serialize_i16(i16) -> ();
        serialize_i32(i32) -> ();
        serialize_i64(i64) -> ();
        serialize_i128(i128) -> ();
        serialize_u8(u8) -> ();
        serialize_u16(u16) -> ();
        serialize_u32(u32) -> ();
        serialize_u64(u64) -> ();
        serialize_u128(u128) -> ();
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_str(&str) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.write_entry(variant, value)
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items<'a>, Error> {
        self.write_key(variant)?;
        Ok(Items::begin(self.buffer))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Error> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<ObjectStruct<'a>, Error> {
        // serde_json passes texts and numbers that are JSON already as structs with these names.
        Ok(match name.starts_with(PRIVATE) {
            false => ObjectStruct::Fields(self),
            true => ObjectStruct::Raw(self, name),
        })
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'a>, Error> {
        self.write_key(variant)?;
        Ok(Fields::begin(self.buffer))
    }
}

pub(super) enum ObjectStruct<'a> {
    Fields(Object<'a>),
    /// A text or number that is JSON already, with the name that serde_json uses for it.
    Raw(Object<'a>, &'static str),
}

impl SerializeStruct for ObjectStruct<'_> {
    type Ok = ();
    type Error = Error;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        match self {
            Self::Fields(object) => object.write_entry(key, value),
            Self::Raw(object, name) => append_raw(object, name, value),
        }
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let at = self.buffer.len();
        // serde_json writes the key, in an object of its own, because it converts a number to a
        // text, for example.
        serde_json::to_writer(&mut *self.buffer, &OnlyKey(key))?;
        self.buffer.truncate(self.buffer.len() - "null}".len());
        self.buffer[at] = b',';
        self.keys.check_json(&self.buffer[at + 1..self.buffer.len() - 1])
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.buffer, value)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

/// An object with one key and the value `null`.
struct OnlyKey<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for OnlyKey<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &())?;
        map.end()
    }
}
