//! A deserializer that hides the keys of the head from the type of the payload.

use std::fmt;
use std::iter;

use serde::de::value::{
    BorrowedStrDeserializer, MapAccessDeserializer, MapDeserializer, StrDeserializer,
};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::head::Key;
use super::key::ObjectKey;
use super::{CORRELATION_ID, ID, Tag};
use crate::id::{MessageId, RAW_VALUE};

/// The values of the head keys, found while the payload was decoded.
#[derive(Default)]
pub(super) struct Found {
    /// The request id, if the message has one.
    pub(super) id: Option<MessageId>,
    /// How often the key of the message type has occurred.
    types: u32,
    /// How often the key `id` has occurred.
    ids: u32,
}

/// Deserializes the payload of a message. The type sees only its own fields, because the keys of
/// the head are removed on the way.
pub(super) struct Payload<'a, D> {
    pub(super) json: D,
    pub(super) tag: &'a Tag,
    pub(super) found: &'a mut Found,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Payload<'_, D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let Self { json, tag, found } = self;
        json.deserialize_map(PayloadVisitor { visitor, tag, found })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        if name != RAW_VALUE {
            return visitor.visit_newtype_struct(self);
        }
        let text = self.deserialize_any(Text)?;
        visitor.visit_map(MapDeserializer::new(iter::once((RAW_VALUE, text))))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.deserialize_any(NoFields)?;
        visitor.visit_unit()
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_any(Variant(visitor))
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.deserialize_unit(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// Reads a whole object and drops its fields.
struct NoFields;

impl<'de> Visitor<'de> for NoFields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// Reads an enum from its variant, which must be the only key left.
struct Variant<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Variant<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let value = self.0.visit_enum(MapAccessDeserializer::new(&mut map))?;
        match map.next_key::<IgnoredAny>()? {
            None => Ok(value),
            Some(_) => Err(A::Error::custom("more than one variant")),
        }
    }
}

/// Writes the object as JSON again, with the remaining fields.
struct Text;

impl<'de> Visitor<'de> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<String, A::Error> {
        let mut text = String::from("{");
        while let Some((Key(key), value)) = map.next_entry::<Key<'_>, &RawValue>()? {
            let comma = if text.len() > 1 { "," } else { "" };
            let key = serde_json::to_string(&key).map_err(A::Error::custom)?;
            text.extend([comma, &key, ":", value.get()]);
        }
        text.push('}');
        Ok(text)
    }
}

struct PayloadVisitor<'a, V> {
    visitor: V,
    tag: &'a Tag,
    found: &'a mut Found,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for PayloadVisitor<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Fields { map, tag: self.tag, found: self.found })
    }
}

struct Fields<'a, A> {
    map: A,
    tag: &'a Tag,
    found: &'a mut Found,
}

impl<'de, A: MapAccess<'de>> Fields<'_, A> {
    fn take_head(&mut self, key: HeadKey) -> Result<(), A::Error> {
        match key {
            HeadKey::Tag => {
                self.found.types += 1;
                self.map.next_value::<IgnoredAny>()?;
            }
            HeadKey::CorrelationId => drop(self.map.next_value::<IgnoredAny>()?),
            HeadKey::Id => {
                self.found.ids += 1;
                let json = self.map.next_value::<&RawValue>()?.get();
                if json != "null" {
                    let id = MessageId::from_json(json);
                    self.found.id = Some(id.ok_or_else(|| A::Error::custom("head"))?);
                }
            }
        }
        // The text of this error is never shown: `explain` parses the head again to find the
        // reason.
        if self.found.types > 1 || self.found.ids > 1 {
            return Err(A::Error::custom("head"));
        }
        Ok(())
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Fields<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        mut seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        loop {
            match self.map.next_key_seed(KeySeed { seed, tag: self.tag })? {
                None => return Ok(None),
                Some(Entry::Field(value)) => return Ok(Some(value)),
                Some(Entry::Head(key, unused)) => {
                    self.take_head(key)?;
                    seed = unused;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

#[derive(Clone, Copy)]
enum HeadKey {
    CorrelationId,
    Id,
    Tag,
}

enum Entry<K, V> {
    Field(V),
    Head(HeadKey, K),
}

struct KeySeed<'a, K> {
    seed: K,
    tag: &'a Tag,
}

impl<'de, K: DeserializeSeed<'de>> KeySeed<'_, K> {
    fn head_key(&self, key: &str) -> Option<HeadKey> {
        match key {
            ID => Some(HeadKey::Id),
            CORRELATION_ID => Some(HeadKey::CorrelationId),
            key if key == self.tag.key() => Some(HeadKey::Tag),
            _ => None,
        }
    }

    #[inline]
    fn field<D: Deserializer<'de>>(
        self,
        text: &str,
        json: D,
    ) -> Result<Entry<K, K::Value>, D::Error> {
        self.seed.deserialize(ObjectKey { text, json }).map(Entry::Field)
    }
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<'_, K> {
    type Value = Entry<K, K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for KeySeed<'_, K> {
    type Value = Entry<K, K::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        match self.head_key(key) {
            Some(head) => Ok(Entry::Head(head, self.seed)),
            None => self.field(key, StrDeserializer::new(key)),
        }
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Self::Value, E> {
        match self.head_key(key) {
            Some(head) => Ok(Entry::Head(head, self.seed)),
            None => self.field(key, BorrowedStrDeserializer::new(key)),
        }
    }
}
