//! Keys that serde_json keeps for itself.
//!
//! A `Value` whose first key is one of them is something else: the text behind `RawValue` is read anew,
//! as deep as a text of its own, so that nothing bounds the depth of the whole.

use crate::error::{HandlerError, code};

/// What they begin with.
pub(crate) const PRIVATE: &str = "$serde_json::private::";

/// Refuses a text in which an object has such a key, however it is escaped.
pub(crate) fn check_keys(text: &str) -> Result<(), HandlerError> {
    match may_have_private(text.as_bytes()) && has_private(text.as_bytes()) {
        true => Err(refused()),
        false => Ok(()),
    }
}

#[cold]
fn refused() -> HandlerError {
    HandlerError::new(code::INVALID_JSON, "the message has a key that is reserved")
}

/// Whether a text has a dollar sign or an escape; one of less than 32 bytes has no room for a key.
#[inline]
fn may_have_private(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<32>() else { return false };
    // Whole chunks, then the last bytes once more, and numbers for truths: of this the compiler makes
    // vector instructions.
    let mut found = [0_u8; 32];
    for chunk in text.as_chunks().0.iter().chain([last]) {
        for (found, byte) in found.iter_mut().zip(chunk) {
            *found |= u8::from((*byte == b'$') | (*byte == b'\\'));
        }
    }
    found != [0; 32]
}

/// Whether a string that a colon follows is such a key.
#[cold]
fn has_private(mut text: &[u8]) -> bool {
    while let Some(start) = text.iter().position(|byte| *byte == b'"') {
        let string = &text[start + 1..];
        let Some(end) = end_of_string(string) else { return false };
        text = &string[end + 1..];
        if text.trim_ascii_start().first() == Some(&b':') && is_private(&string[..end]) {
            return true;
        }
    }
    false
}

/// The place of the quotation mark that ends a string.
fn end_of_string(string: &[u8]) -> Option<usize> {
    let mut escaped = false;
    string.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// Whether a key begins as those of serde_json do; of escapes, only `\u` makes such a character.
fn is_private(mut key: &[u8]) -> bool {
    PRIVATE.bytes().all(|expected| {
        let (found, rest) = match key {
            [b'\\', b'u', a, b, c, d, rest @ ..] => (unescaped([*a, *b, *c, *d]), rest),
            [byte, rest @ ..] => (Some(*byte), rest),
            [] => (None, key),
        };
        key = rest;
        found == Some(expected)
    })
}

/// The ASCII character of four hexadecimal digits.
fn unescaped(digits: [u8; 4]) -> Option<u8> {
    let digits = std::str::from_utf8(&digits).ok()?;
    u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_it_stands_and_however_long_the_text_is() {
        for before in 0..80 {
            for after in 0..80 {
                let (before, after) = (" ".repeat(before), " ".repeat(after));
                for dollar in ["$", "\\u0024"] {
                    let key = format!("{dollar}serde_json::private::Number");
                    let text = format!(r#"{{{before}"{key}"{after}:"1"}}"#);
                    assert_eq!(check_keys(&text).unwrap_err().code(), "invalid_json", "{text}");
                    let value = format!(r#"{{{before}"a":"{key}"{after},"$":1}}"#);
                    assert!(check_keys(&value).is_ok(), "{value}");
                }
            }
        }
    }

    #[test]
    fn a_text_that_ends_anywhere_is_looked_at_to_its_end() {
        let text = r#"{"a\"b":"\\","\u0024serde_json::private:":"\"$serde_json::private::\"":"#;
        for end in 0..=text.len() {
            assert!(check_keys(&text[..end]).is_ok(), "{}", &text[..end]);
        }
        assert!(check_keys(r#"{"a":"\"","\u0024serde_json::private::":"#).is_err());
    }
}
