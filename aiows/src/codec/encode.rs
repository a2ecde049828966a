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

/// A message that is encoded once, as the payload of a frame behind its header.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Space for the longest header, then the payload. The header ends where the payload starts.
    buffer: Vec<u8>,
    /// Where the header starts.
    start: usize,
    /// The overflow rule of the message.
    rule: Rule,
}

impl Encoded {
    fn new(opcode: Opcode, mut buffer: Vec<u8>) -> Self {
        let start = write_header(opcode, &mut buffer);
        Self { buffer, start, rule: Rule::Server }
    }

    /// Copies bytes for a binary frame.
    pub(crate) fn binary(payload: &[u8]) -> Self {
        Self::copy(Opcode::Binary, payload)
    }

    /// Copies the bytes of a text for a text frame. The text need not be a message.
    pub(crate) fn raw(payload: &[u8]) -> Self {
        Self::copy(Opcode::Text, payload)
    }

    fn copy(opcode: Opcode, payload: &[u8]) -> Self {
        let mut buffer = headroom();
        buffer.extend_from_slice(payload);
        Self::new(opcode, buffer)
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
    pub(crate) fn frame(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Takes the frame out. A small one is copied, because buffers are larger and are used again.
    pub(crate) fn take_frame(&mut self) -> Bytes {
        if self.payload().len() > MAX_COPIED {
            return Bytes::from(mem::take(&mut self.buffer)).slice(self.start..);
        }
        // With a few bytes to spare, `Bytes` shares the memory from the start. It would otherwise
        // check with each clone whether it already does.
        let mut frame = Vec::with_capacity(self.buffer.len());
        frame.extend_from_slice(self.frame());
        self.recycle();
        frame.into()
    }

    /// Gives the buffer back. The message is empty then.
    pub(crate) fn recycle(&mut self) {
        buffer::give_back(mem::take(&mut self.buffer));
    }
}

/// Returns a buffer with space for the longest frame header.
fn headroom() -> Vec<u8> {
    let mut buffer = buffer::take();
    buffer.extend_from_slice(&[0; HEADROOM]);
    buffer
}

/// Begins an object with its head: `{"type":"chat","correlation_id":7`.
fn begin(key: &str, message_type: &str, id: HeadId<'_>) -> Result<Vec<u8>, Error> {
    let mut buffer = headroom();
    buffer.push(b'{');
    serde_json::to_writer(&mut buffer, key)?;
    buffer.push(b':');
    serde_json::to_writer(&mut buffer, message_type)?;
    id.write(&mut buffer)?;
    Ok(buffer)
}

/// Appends the fields of a payload to the head, and closes the object.
fn finish<P: Serialize + ?Sized>(
    mut buffer: Vec<u8>,
    keys: [&str; 3],
    payload: &P,
) -> Result<Encoded, Error> {
    payload.serialize(Object { buffer: &mut buffer, keys: HeadKeys(keys) })?;
    buffer.push(b'}');
    Ok(Encoded::new(Opcode::Text, buffer))
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
    finish(begin(tag.key(), message_type, id)?, tag.head_keys(), payload)
}

/// Encodes a payload of the framework like [`encode`]. It must be a struct that always writes at
/// least one field, and no field that could have the name of a tag.
pub(crate) fn encode_builtin<P: Serialize>(
    tag: &Tag,
    message_type: &str,
    id: HeadId<'_>,
    payload: &P,
) -> Result<Encoded, Error> {
    let mut buffer = begin(tag.key(), message_type, id)?;
    let at = buffer.len();
    serde_json::to_writer(&mut buffer, payload)?;
    buffer[at] = b',';
    Ok(Encoded::new(Opcode::Text, buffer))
}

/// Encodes an object that starts with a key of the framework: `{"key":"name",..}`.
pub(crate) fn encode_named<P: Serialize + ?Sized>(
    key: &str,
    name: &str,
    fields: &P,
) -> Result<Encoded, Error> {
    finish(begin(key, name, HeadId::None)?, [key; 3], fields)
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
    let mut buffer = headroom();
    serde_json::to_writer(&mut buffer, object)?;
    if let Some(id) = id.filter(|_| !object.contains_key(CORRELATION_ID)) {
        buffer.pop();
        let at = buffer.len();
        HeadId::Answer(id).write(&mut buffer)?;
        if object.is_empty() {
            buffer.remove(at);
        }
        buffer.push(b'}');
    }
    Ok(Encoded::new(Opcode::Text, buffer))
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
