use std::borrow::Cow;
use std::fmt::Write as _;

/// The pattern of a route.
pub(super) struct Pattern {
    /// The form that request paths are matched with.
    pub(super) canonical: String,
    pub(super) params: Vec<String>,
}

/// Why no request matches a pattern.
pub(super) enum Unreachable {
    /// A character that no path contains.
    Letter(char),
    /// The path of a request ends before this character.
    End(char),
    /// Two parameters have this name.
    Param(String),
}

impl Pattern {
    /// Parses literal text, `{name}`, `{*name}`, and `{{` and `}}` for braces.
    pub(super) fn parse(path: &str) -> Result<Self, Unreachable> {
        let mut pattern = Self { canonical: String::new(), params: Vec::new() };
        let mut rest = path;
        while let Some(letter) = rest.chars().next() {
            let literal = match rest.as_bytes() {
                [b'{', b'{', ..] | [b'}', b'}', ..] => &rest[..2],
                // The table of paths refuses a brace that is not closed.
                [b'{', ..] => {
                    let end = rest.find('}').map_or(rest.len(), |end| end + 1);
                    pattern.add_param(&rest[..end])?;
                    rest = &rest[end..];
                    continue;
                }
                _ => &rest[..letter.len_utf8()],
            };
            pattern.add_literal(letter, literal, rest)?;
            rest = &rest[literal.len()..];
        }
        pattern.canonical = canonical_case(pattern.canonical);
        Ok(pattern)
    }

    fn add_param(&mut self, param: &str) -> Result<(), Unreachable> {
        let name = param.trim_start_matches('{').trim_end_matches('}');
        let name = name.strip_prefix('*').unwrap_or(name);
        if self.params.iter().any(|known| known == name) {
            return Err(Unreachable::Param(name.to_owned()));
        }
        self.params.push(name.to_owned());
        self.canonical.push_str(param);
        Ok(())
    }

    fn add_literal(&mut self, letter: char, text: &str, rest: &str) -> Result<(), Unreachable> {
        match letter {
            '?' | '#' => return Err(Unreachable::End(letter)),
            ' ' | '\0'..='\x1f' | '\x7f' => return Err(Unreachable::Letter(letter)),
            '%' if !is_encoded(rest.as_bytes()) => return Err(Unreachable::Letter(letter)),
            // The table of paths refuses a single brace, too.
            '}' if text.len() == 1 => self.canonical.push('}'),
            _ => encode(&mut self.canonical, letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        Ok(())
    }
}

/// Returns the form in which the path of a request is matched. Every byte that may be
/// percent-encoded is, in capital letters (RFC 3986 section 6.2.2.1).
pub(super) fn canonical(path: &str) -> Cow<'_, str> {
    if !path.contains('%') && path.bytes().all(is_plain) {
        return Cow::Borrowed(path);
    }
    let mut encoded = String::with_capacity(path.len());
    encode(&mut encoded, path.as_bytes());
    Cow::Owned(canonical_case(encoded))
}

/// Returns whether a byte stands for itself in a path (RFC 3986 section 3.3).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte)
}

fn encode(path: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        if is_plain(byte) {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
    }
}

fn is_encoded(rest: &[u8]) -> bool {
    matches!(rest, [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// Writes percent-encoded bytes in capital letters.
fn canonical_case(path: String) -> String {
    let mut bytes = path.into_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let step = if is_encoded(&bytes[at..]) { 3 } else { 1 };
        if step == 3 {
            bytes[at..at + 3].make_ascii_uppercase();
        }
        at += step;
    }
    // Only ASCII letters have changed.
    String::from_utf8(bytes).unwrap_or_default()
}
