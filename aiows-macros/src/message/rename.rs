//! `#[serde(rename_all = "..")]`, as serde applies it to the fields of a struct.

#[derive(Clone, Copy)]
pub(super) enum Rule {
    Camel,
    Kebab,
    Pascal,
    ScreamingKebab,
    ScreamingSnake,
}

impl Rule {
    /// Returns the rule of this name, or `None` if names stay as they are: for `snake_case`, for
    /// `lowercase`, and for names that serde rejects.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name {
            "camelCase" => Self::Camel,
            "kebab-case" => Self::Kebab,
            "PascalCase" => Self::Pascal,
            "SCREAMING-KEBAB-CASE" => Self::ScreamingKebab,
            "SCREAMING_SNAKE_CASE" | "UPPERCASE" => Self::ScreamingSnake,
            _ => return None,
        })
    }

    pub(super) fn apply(self, field: &str) -> String {
        match self {
            Self::Camel => camel(field),
            Self::Kebab => field.replace('_', "-"),
            Self::Pascal => pascal(field),
            Self::ScreamingKebab => field.to_ascii_uppercase().replace('_', "-"),
            Self::ScreamingSnake => field.to_ascii_uppercase(),
        }
    }
}

fn pascal(field: &str) -> String {
    let mut name = String::new();
    let mut starts_word = true;
    for letter in field.chars() {
        if letter == '_' {
            starts_word = true;
        } else {
            name.push(if starts_word { letter.to_ascii_uppercase() } else { letter });
            starts_word = false;
        }
    }
    name
}

fn camel(field: &str) -> String {
    let mut name = pascal(field);
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renamed_fields_match_those_of_serde() {
        let renamed = |rule: &str, field: &str| Rule::of(rule).map(|rule| rule.apply(field));
        let cases = [
            ("camelCase", "user_id", "userId"),
            ("camelCase", "type_", "type"),
            ("camelCase", "_", ""),
            ("PascalCase", "user_id", "UserId"),
            ("kebab-case", "user_id", "user-id"),
            ("SCREAMING_SNAKE_CASE", "user_id", "USER_ID"),
            ("SCREAMING-KEBAB-CASE", "user_id", "USER-ID"),
            ("UPPERCASE", "user_id", "USER_ID"),
        ];
        for (rule, field, expected) in cases {
            assert_eq!(renamed(rule, field).as_deref(), Some(expected), "{rule} {field}");
        }
        assert_eq!(renamed("snake_case", "user_id"), None);
    }
}
