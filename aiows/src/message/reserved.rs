use crate::codec::is_reserved;
use crate::error::ConstText;

/// Stops the compilation of a message that is sent under a type of the protocol, as the derive does.
///
/// ```compile_fail,E0080
/// #[derive(serde::Serialize)]
/// struct Notice;
///
/// impl aiows::Message for Notice {
///     const TYPE: &'static str = "error";
/// }
///
/// let _ = aiows::Outgoing::message_type(&Notice);
/// ```
#[track_caller]
pub(super) const fn refuse_reserved(message_type: &str) {
    if is_reserved(message_type) {
        ConstText::new()
            .with("message type `")
            .with(message_type)
            .with("` is reserved for the protocol, choose another")
            .refuse();
    }
    let mut at = 0;
    while at < message_type.len() {
        let byte = message_type.as_bytes()[at];
        assert!(!byte.is_ascii_whitespace(), "message type must not contain whitespace");
        assert!(!byte.is_ascii_control(), "message type must not contain control characters");
        at += 1;
    }
    assert!(at > 0, "message type must not be empty");
}
