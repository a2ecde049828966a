//! The mutants that do not cause one error in the right item, with the reasons.

/// A reason, and the mutants it applies to.
pub(crate) type Group = (&'static str, &'static [&'static str]);

/// Mutants with more than one error, or with an error elsewhere.
pub(crate) const EXCEPTIONS: &[Group] = &[
    (
        "the body changes the argument, which rustc rejects behind a reference",
        &["message_with_local, argument: by reference 2"],
    ),
    (
        "rustc drops a parameter it cannot parse, then does not know the names its pattern binds",
        &[
            "connect, argument: drop the type 2",
            "fallback, argument: drop the type 2",
            "message_with_extractor, argument: drop the type 1",
            "message_with_id, argument: drop the type 2",
        ],
    ),
    (
        "no macro runs, so the function in `routes![]` is not a handler",
        &[
            "connect, attribute: misspell its name",
            "disconnect, attribute: misspell its name",
            "fallback, attribute: misspell its name",
            "message_validated, attribute: misspell its name",
            "message_with_extractor, attribute: misspell its name",
            "message_with_id, attribute: misspell its name",
            "message_with_local, attribute: misspell its name",
            "message_with_reply, attribute: misspell its name",
            "message_with_set, attribute: misspell its name",
            "message_without_arguments, attribute: misspell its name",
        ],
    ),
    (
        "rustc looks for a closing brace up to the end of the file, and points there",
        &[
            "connect, body: drop the closing brace",
            "disconnect, body: drop the closing brace",
            "fallback, body: drop the closing brace",
            "message_validated, body: drop the closing brace",
            "message_with_extractor, body: drop the closing brace",
            "message_with_id, body: drop the closing brace",
            "message_with_local, body: drop the closing brace",
            "message_with_reply, body: drop the closing brace",
            "message_with_set, body: drop the closing brace",
            "message_without_arguments, body: drop the closing brace",
        ],
    ),
    (
        "one error, at the argument: the struct is valid without the derive, but its use is not",
        &[
            "message_validated, derive: drop `Clone`",
            "message_with_reply, derive: drop `Clone`",
            "message_with_local, derive: drop `Default`",
            "message_validated, derive: drop `Deserialize`",
            "message_with_extractor, derive: drop `Deserialize`",
            "message_with_id, derive: drop `Deserialize`",
            "message_with_reply, derive: drop `Deserialize`",
        ],
    ),
    (
        "one error, at the argument or the return type: the struct is valid, but its use is not",
        &[
            "connect, derive: drop `Message`",
            "message_validated, derive: drop `Message`",
            "message_with_extractor, derive: drop `Message`",
            "message_with_id, derive: drop `Message`",
            "message_with_reply, derive: drop `Message`",
            "message_with_set, derive: drop `Message`",
            "message_without_arguments, derive: drop `Message`",
        ],
    ),
    (
        "one error, at the return type: the struct is valid, but its use is not",
        &[
            "connect, derive: drop `Serialize`",
            "message_with_id, derive: drop `Serialize`",
            "message_with_reply, derive: drop `Serialize`",
            "message_with_set, derive: drop `Serialize`",
            "message_without_arguments, derive: drop `Serialize`",
        ],
    ),
    (
        "the derive of `Validate` fails, so the bound on the message fails, too",
        &["message_validated, field: an unknown validation rule"],
    ),
    (
        "rustc and the derives of serde report the same comma",
        &[
            "message_validated, field: without a type",
            "message_with_extractor, field: without a type",
            "message_with_id, field: without a type",
            "message_with_reply, field: without a type",
        ],
    ),
    (
        "rustc also requires the lifetime in the signature of the handler",
        &[
            "message_validated, struct: lifetime",
            "message_with_extractor, struct: lifetime",
            "message_with_id, struct: lifetime",
            "message_with_reply, struct: lifetime",
        ],
    ),
];

/// Mutants that are no mistakes and must keep compiling.
pub(crate) const VALID: &[Group] = &[
    (
        "the body does not use the argument",
        &["message_validated, argument: drop 1", "message_with_reply, argument: drop 2"],
    ),
    (
        "extractors may have any order",
        &[
            "connect, argument: swap first and last",
            "disconnect, argument: swap first and last",
            "fallback, argument: swap first and last",
            "message_with_local, argument: swap first and last",
        ],
    ),
    (
        "empty parentheses mean the same as none",
        &[
            "connect, attribute: empty parentheses",
            "disconnect, attribute: empty parentheses",
            "fallback, attribute: empty parentheses",
        ],
    ),
    (
        "rustc only warns about a future that is not awaited",
        &[
            "disconnect, body: drop `.await`",
            "message_validated, body: drop `.await`",
            "message_with_extractor, body: drop `.await`",
            "message_with_id, body: drop `.await`",
            "message_with_set, body: drop `.await`",
            "message_without_arguments, body: drop `.await`",
        ],
    ),
    (
        "empty entries are ignored",
        &[
            "connect, list: a comma too many",
            "disconnect, list: a comma too many",
            "fallback, list: a comma too many",
            "message_validated, list: a comma too many",
            "message_with_extractor, list: a comma too many",
            "message_with_id, list: a comma too many",
            "message_with_local, list: a comma too many",
            "message_with_reply, list: a comma too many",
            "message_with_set, list: a comma too many",
            "message_without_arguments, list: a comma too many",
        ],
    ),
    (
        "several handlers of this kind are called in order",
        &["connect, list: the same handler twice", "disconnect, list: the same handler twice"],
    ),
];
