//! Encodes messages: the head first, then the payload.

use std::io::Write as _;
use std::mem;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Error, Map, Value};

use super::object::{HeadKeys, Object};
use super::reserved_types::check_type;
use super::{CORRELATION_ID, ID, Tag, buffer};
use crate::id::MessageId;
use crate::limits::Rule;
use crate::protocol::{HEADROOM, Opcode, write_header};

/// Messages up to this size, in bytes, are copied rather than shared.
pub(crate) const MAX_COPIED: usize = 4096;

/// The payload of one frame, encoded once, with space for the frame header before it.
#[derive(Debug)]
pub(crate) struct Encoded {
    buffer: Vec<u8>,
    opcode: Opcode,
    /// The overflow rule of the message.
    rule: Rule,
}

impl Encoded {
    fn new() -> Self {
        let mut buffer = buffer::take();
        buffer.extend_from_slice(&[0; HEADROOM]);
        Self { buffer, opcode: Opcode::Text, rule: Rule::Server }
    }

    /// Copies bytes for a binary frame.
    pub(crate) fn binary(payload: &[u8]) -> Self {
        Self { opcode: Opcode::Binary, ..Self::raw(payload) }
    }

    /// Copies the bytes of a text for a text frame. The text need not be a message.
    pub(crate) fn raw(payload: &[u8]) -> Self {
        let mut encoded = Self::new();
        encoded.buffer.extend_from_slice(payload);
        encoded
    }

    pub(crate) fn with_rule(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Returns what happens to the frame if the queue of its recipient is full.
    pub(crate) fn rule(&self) -> Rule {
        self.rule
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.buffer[HEADROOM..]
    }

    /// Returns the whole frame, or its first fragment followed by the payload of the others.
    pub(crate) fn frame(&mut self) -> &[u8] {
        let start = write_header(self.opcode, &mut self.buffer);
        &self.buffer[start..]
    }

    /// Takes the frame out. A small one is copied, because buffers are larger and are used again.
    pub(crate) fn take_frame(&mut self) -> Bytes {
        if self.payload().len() <= MAX_COPIED {
            // With a few bytes to spare, `Bytes` shares the memory from the start. It would
            // otherwise check with each clone whether it already does.
            let mut frame = Vec::with_capacity(self.buffer.len());
            frame.extend_from_slice(self.frame());
            self.recycle();
            return frame.into();
        }
        let start = write_header(self.opcode, &mut self.buffer);
        Bytes::from(mem::take(&mut self.buffer)).slice(start..)
    }

    /// Gives the buffer back. The message is empty then.
    pub(crate) fn recycle(&mut self) {
        buffer::give_back(mem::take(&mut self.buffer));
    }

    /// Writes the head, without the closing brace: `{"type":"chat","correlation_id":7`.
    fn with_head(key: &str, message_type: &str, id: HeadId<'_>) -> Result<Self, Error> {
        let mut encoded = Self::new();
        encoded.buffer.push(b'{');
        serde_json::to_writer(&mut encoded.buffer, key)?;
        encoded.buffer.push(b':');
        serde_json::to_writer(&mut encoded.buffer, message_type)?;
        id.write(&mut encoded.buffer)?;
        Ok(encoded)
    }

    /// Appends the fields of a payload to the head, and closes the object.
    fn with_payload<P: Serialize + ?Sized>(
        mut self,
        keys: [&str; 3],
        payload: &P,
    ) -> Result<Self, Error> {
        payload.serialize(Object { buffer: &mut self.buffer, keys: HeadKeys(keys) })?;
        self.buffer.push(b'}');
        Ok(self)
    }
}

/// The id in the head of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HeadId<'a> {
    None,
    /// The message is an answer to this request, as its `correlation_id` says.
    Answer(&'a MessageId),
    /// The message is the question with this number, and the client's answer has its `id`.
    Question(u64),
}

impl<'a> From<Option<&'a MessageId>> for HeadId<'a> {
    fn from(id: Option<&'a MessageId>) -> Self {
        id.map_or(Self::None, Self::Answer)
    }
}

impl HeadId<'_> {
    fn write(self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::None => Ok(()),
            Self::Answer(id) => write!(buffer, ",\"{CORRELATION_ID}\":{}", id.as_json()),
            Self::Question(number) => write!(buffer, ",\"{ID}\":\"s{number}\""),
        }
        .map_err(Error::io)
    }
}

/// Encodes a payload with a message type.
pub(crate) fn encode<P: Serialize + ?Sized>(
    tag: &Tag,
    message_type: &str,
    id: HeadId<'_>,
    payload: &P,
) -> Result<Encoded, Error> {
    Encoded::with_head(tag.key(), message_type, id)?.with_payload(tag.head_keys(), payload)
}

/// Encodes a payload of the framework like [`encode`]. It must be a struct that always writes at
/// least one field, and no field that could have the name of a tag.
pub(crate) fn encode_builtin<P: Serialize>(
    tag: &Tag,
    message_type: &str,
    id: HeadId<'_>,
    payload: &P,
) -> Result<Encoded, Error> {
    let mut encoded = Encoded::with_head(tag.key(), message_type, id)?;
    let at = encoded.buffer.len();
    serde_json::to_writer(&mut encoded.buffer, payload)?;
    encoded.buffer[at] = b',';
    Ok(encoded)
}

/// Encodes an object that starts with a key of the framework: `{"key":"name",..}`.
pub(crate) fn encode_named<P: Serialize + ?Sized>(
    key: &str,
    name: &str,
    fields: &P,
) -> Result<Encoded, Error> {
    Encoded::with_head(key, name, HeadId::None)?.with_payload([key; 3], fields)
}

/// Encodes an object unchanged, with a `correlation_id` unless it has one.
///
/// # Errors
///
/// Fails if its message type is reserved.
pub(crate) fn encode_value(
    tag: &Tag,
    object: &Map<String, Value>,
    id: Option<&MessageId>,
) -> Result<Encoded, Error> {
    object.get(tag.key()).and_then(Value::as_str).map_or(Ok(()), check_type)?;
    let mut encoded = Encoded::new();
    serde_json::to_writer(&mut encoded.buffer, object)?;
    if let Some(id) = id.filter(|_| !object.contains_key(CORRELATION_ID)) {
        encoded.buffer.pop();
        let at = encoded.buffer.len();
        HeadId::Answer(id).write(&mut encoded.buffer)?;
        if object.is_empty() {
            encoded.buffer.remove(at);
        }
        encoded.buffer.push(b'}');
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text<P: Serialize + ?Sized>(id: Option<&MessageId>, payload: &P) -> String {
        let encoded = encode(&Tag::default(), "note", id.into(), payload).unwrap();
        String::from_utf8(encoded.payload().to_vec()).unwrap()
    }

    #[test]
    fn the_head_comes_first_and_the_fields_follow() {
        #[derive(Serialize)]
        struct Unit;
        #[derive(Serialize)]
        struct Empty {}
        let object = json!({ "a": 1 });
        assert_eq!(text(None, &object), r#"{"type":"note","a":1}"#);
        assert_eq!(
            text(Some(&"x".into()), &object),
            r#"{"type":"note","correlation_id":"x","a":1}"#
        );
        assert_eq!(text(None, &Unit), r#"{"type":"note"}"#);
        assert_eq!(text(Some(&7.into()), &Empty {}), r#"{"type":"note","correlation_id":7}"#);
    }

    #[test]
    fn a_question_has_its_number_as_the_id() {
        let question = |payload: &Value| {
            let encoded =
                encode(&Tag::new("action"), "note", HeadId::Question(12), payload).unwrap();
            String::from_utf8(encoded.payload().to_vec()).unwrap()
        };
        assert_eq!(question(&json!({ "a": 1 })), r#"{"action":"note","id":"s12","a":1}"#);
        assert_eq!(question(&Value::Null), r#"{"action":"note","id":"s12"}"#);
    }

    #[test]
    fn a_payload_that_is_not_an_object_cannot_be_encoded() {
        for payload in [json!([1]), json!("text"), json!(7)] {
            let error = encode(&Tag::default(), "note", HeadId::None, &payload).unwrap_err();
            assert_eq!(error.to_string(), "a message is written as a JSON object");
        }
    }

    #[test]
    fn a_value_is_encoded_unchanged() {
        let value = |value: Value, id: Option<MessageId>| {
            let Value::Object(object) = value else { panic!("no object") };
            let encoded = encode_value(&Tag::default(), &object, id.as_ref()).unwrap();
            String::from_utf8(encoded.payload().to_vec()).unwrap()
        };
        assert_eq!(value(json!({ "a": 1 }), None), r#"{"a":1}"#);
        assert_eq!(value(json!({ "a": 1 }), Some(3.into())), r#"{"a":1,"correlation_id":3}"#);
        assert_eq!(value(json!({}), Some(3.into())), r#"{"correlation_id":3}"#);
        let own = json!({ "correlation_id": 9 });
        assert_eq!(value(own, Some(3.into())), r#"{"correlation_id":9}"#);
    }
}
