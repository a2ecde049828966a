//! Bounds the nesting of a text.

use crate::error::{HandlerError, code};

/// Returns an error if a text nests arrays and objects deeper than `limit`.
///
/// serde_json bounds the depth of values that it parses, but not of values that it skips.
pub(crate) fn check_nesting(text: &str, limit: usize) -> Result<(), HandlerError> {
    // Most texts are shorter than the limit or have fewer brackets. Counting brackets is much
    // cheaper than finding the depth.
    if text.len() <= limit || brackets(text) <= limit || depth(text) <= limit {
        return Ok(());
    }
    Err(HandlerError::new(code::INVALID_JSON, "the message is nested too deeply"))
}

fn brackets(text: &str) -> usize {
    // Counted in bytes per chunk first, which the compiler turns into vector instructions. `[` and
    // `{` differ in the bit that is set here, and no other byte becomes `{` by it.
    let count = |part: &[u8]| part.iter().fold(0_u8, |n, byte| n + u8::from(byte | 0x20 == b'{'));
    text.as_bytes().chunks(192).map(|part| usize::from(count(part))).sum()
}

fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exact_limit_is_accepted() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(check_nesting(&nested(128), 128).is_ok());
        assert_eq!(check_nesting(&nested(129), 128).unwrap_err().code(), "invalid_json");
    }

    #[test]
    fn brackets_side_by_side_or_in_strings_are_not_nesting() {
        let wide = format!("[{}]", vec!["{}"; 500].join(","));
        let text = format!(r#"{{"a":"{}\"["}}"#, "[".repeat(500));
        assert!(check_nesting(&wide, 2).is_ok());
        assert!(check_nesting(&text, 1).is_ok());
    }
}
