//! Keys that serde_json reserves for itself.
//!
//! If the first key of a `Value` is one of them, serde_json treats it specially: it parses the text
//! behind the key of a `RawValue` again, with a new bound on the depth, so that the depth of the
//! whole is unbounded.

use crate::error::{HandlerError, code};

/// The prefix of these keys.
pub(crate) const PRIVATE: &str = "$serde_json::private::";

/// Returns an error if an object in the text has such a key, in whatever way it is escaped.
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

/// Returns whether a text has a dollar sign or an escape. A text of less than 32 bytes has no space
/// for such a key.
#[inline]
fn may_have_private(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<32>() else { return false };
    // Whole chunks, then the last bytes once more, and numbers instead of `bool`: the compiler
    // turns this into vector instructions.
    let mut found = [0_u8; 32];
    for chunk in text.as_chunks().0.iter().chain([last]) {
        for (found, byte) in found.iter_mut().zip(chunk) {
            *found |= u8::from((*byte == b'$') | (*byte == b'\\'));
        }
    }
    found != [0; 32]
}

/// Returns whether a string that is followed by a colon is such a key.
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

/// Returns the position of the quotation mark that ends a string.
fn end_of_string(string: &[u8]) -> Option<usize> {
    let mut escaped = false;
    string.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// Returns whether a key has the prefix of serde_json. Of the escapes, only `\u` can produce one of
/// its characters.
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

/// Returns the ASCII character with this code of four hexadecimal digits.
fn unescaped(digits: [u8; 4]) -> Option<u8> {
    let digits = std::str::from_utf8(&digits).ok()?;
    u8::try_from(u16::from_str_radix(digits, 16).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_key_is_found_at_every_position_in_a_text_of_any_length() {
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
    fn a_text_cut_at_any_position_is_searched_to_its_end() {
        let text = r#"{"a\"b":"\\","\u0024serde_json::private:":"\"$serde_json::private::\"":"#;
        for end in 0..=text.len() {
            assert!(check_keys(&text[..end]).is_ok(), "{}", &text[..end]);
        }
        assert!(check_keys(r#"{"a":"\"","\u0024serde_json::private::":"#).is_err());
    }
}
