//! All codes that the framework itself sends. The guide prints these tables; a test compares them.

use crate::close::CloseCode;

/// Declares constants of one type, and the table of all of them for the guide.
macro_rules! table {
    ($row:ty: $($name:ident = $value:expr => $when:literal;)+) => {
        $(pub(crate) const $name: $row = $value;)+

        #[cfg(test)]
        pub(super) const ALL: &[($row, &str)] = &[$(($name, $when)),+];
    };
}

/// The codes of error frames, those of every message first, in the order of the checks.
pub(crate) mod code {
    table! { &str:
        INVALID_JSON = "invalid_json" =>
            "a binary frame is not UTF-8, or a text is not JSON, is nested deeper than \
             `Limits::nesting` or has a key that begins with `$serde_json::private::`";
        INVALID_MESSAGE = "invalid_message" =>
            "the JSON is not an object; `type` is missing, repeated or not a string; `id` is \
             invalid or repeated, or missing if the handler takes `MessageId`";
        UNKNOWN_TYPE = "unknown_type" => "no handler and no fallback serves the message type";
        INVALID_PAYLOAD = "invalid_payload" =>
            "the fields do not decode into the handler's type; `fields` has the first one that \
             fails";
        VALIDATION_FAILED = "validation_failed" => "a rule is broken; `fields` has up to 32 fields";
        INTERNAL = "internal" =>
            "an error is not visible, or a handler panicked; `error_id` leads to the cause in the \
             log";
        UNSUPPORTED_DATA = "unsupported_data" =>
            "a binary frame for a relay that takes `Text` is not UTF-8; only middleware sees this \
             code, the client gets the close code 1003";
        INVALID_PATH = "invalid_path" =>
            "the parameters of the path do not fit the handler's `Path<T>`";
        INVALID_QUERY = "invalid_query" => "the query does not fit the handler's `Query<T>`";
        INVALID_NAME = "invalid_name" =>
            "the name of a user or a connection is blank, has control characters or is longer \
             than `Limits::name_size`";
        NAME_TAKEN = "name_taken" =>
            "`ws.set_name`: another connection of the namespace has the name";
        INVALID_ROOM = "invalid_room" =>
            "the name of a room is blank, has control characters or is longer than \
             `Limits::room_name_size`";
        TOO_MANY_ROOMS = "too_many_rooms" => "the connection is in `Limits::rooms` rooms already";
        ROOM_FULL = "room_full" => "the room has `Limits::room_members` members already";
        MEMBER_TOO_LARGE = "member_too_large" =>
            "the description in `ws.join_as` is larger than `Limits::member_info_size`";
        NO_USER = "no_user" => "`ws.join_as_user`: the connection has no user";
        FORBIDDEN = "forbidden" =>
            "`ws.to(room)`: the connection is not in the room (`SendError::NotMember`)";
        QUESTION_REFUSED = "question_refused" =>
            "`ws.request`: the client answered with an error (`RequestError::Refused`)";
        INVALID_ANSWER = "invalid_answer" =>
            "`ws.request`: the answer has another type, or fields that are refused \
             (`RequestError::Invalid`)";
        NO_ANSWER = "no_answer" =>
            "`ws.request`: the client did not answer in time (`RequestError::Timeout`)";
        CONGESTED = "congested" =>
            "`ws.request`: too many other messages of the client precede its answer \
             (`RequestError::Congested`)";
        TOO_MANY_QUESTIONS = "too_many_questions" =>
            "`ws.request`: 64 questions of the connection are open (`RequestError::TooMany`)";
        QUEUE_FULL = "queue_full" =>
            "a send failed because the client does not read fast enough (`SendError::Full`)";
        UNAVAILABLE = "unavailable" =>
            "a send or a request failed because the connection is closing (`SendError::Closed`, \
             `RequestError::Closed`)";
    }
}

/// A mistake in a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mistake {
    pub(crate) code: &'static str,
    /// Describes the mistake to people, after the path of the field.
    pub(crate) text: &'static str,
}

impl Mistake {
    const fn new(code: &'static str, text: &'static str) -> Self {
        Self { code, text }
    }
}

/// The mistakes in fields: the codes of those that do not decode, and all texts. After a failed
/// validation the codes are those of the rules.
pub(crate) mod mistake {
    use super::Mistake;

    table! { Mistake:
        MISSING = Mistake::new("missing", "is required") => "the field is required";
        UNKNOWN = Mistake::new("unknown", "is not a field of this message") =>
            "the message has no such field, with `#[serde(deny_unknown_fields)]`, or a path or a \
             query has no such parameter";
        DUPLICATE = Mistake::new("duplicate", "is given twice") => "the field is given twice";
        WRONG_TYPE = Mistake::new("wrong_type", "has the wrong type") =>
            "the value has the wrong type, for example a string instead of a number";
        INVALID_VALUE = Mistake::new("invalid_value", "does not have an accepted value") =>
            "the value has the right type, but is not accepted";
        TOO_MANY = Mistake::new("too_many", "has too many items") =>
            "a `BoundedVec` has more items than it accepts";
    }

    /// `UNKNOWN` in a path or a query.
    pub(crate) const NO_PARAMETER: Mistake =
        Mistake::new(UNKNOWN.code, "is not a parameter of this request");

    /// Returns the text of a failed rule. The codes of validator's own rules have texts.
    #[cfg(feature = "validator")]
    pub(crate) fn rule_text(code: &str) -> &'static str {
        match code {
            "contains" => "lacks a required part",
            "credit_card" => "is not a credit card number",
            "does_not_contain" => "has a forbidden part",
            "email" => "is not an e-mail address",
            "ip" | "ipv4" | "ipv6" => "is not an IP address",
            "length" => "has a length out of bounds",
            "must_match" => "does not match the field it must match",
            "non_control_character" => "has control characters",
            "range" => "is out of bounds",
            "regex" => "does not have the required form",
            "required" => MISSING.text,
            "url" => "is not a URL",
            _ => "is not valid",
        }
    }
}

/// A close frame of the framework.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    pub(crate) code: CloseCode,
    /// May have one `{}`, for [`with`](Self::with).
    pub(crate) reason: &'static str,
}

impl Closing {
    const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason }
    }

    pub(crate) fn with(self, value: &str) -> String {
        self.reason.replacen("{}", value, 1)
    }
}

pub(crate) mod closing {
    use super::{CloseCode, Closing};

    table! { Closing:
        SHUTDOWN = Closing::new(CloseCode::AWAY, "Server shutdown") => "the server stops";
        PROTOCOL = Closing::new(CloseCode::PROTOCOL, "Protocol violation") =>
            "the client breaks the protocol";
        NOT_TEXT = Closing::new(CloseCode::UNSUPPORTED, "Binary data that is not UTF-8") =>
            "a binary frame for a relay that takes `Text` is not UTF-8";
        NOT_UTF8 = Closing::new(CloseCode::INVALID_DATA, "Invalid UTF-8") => "a text is not UTF-8";
        REFUSED = Closing::new(CloseCode::POLICY, "{}") =>
            "a connect handler, `on_connect` or a relay fails with a visible error; the reason is \
             the code of the error";
        NOT_ADMITTED = Closing::new(CloseCode::POLICY, "the connection was refused") =>
            "`on_connect` of a middleware does not call `next`";
        SLOW_CLIENT = Closing::new(CloseCode::POLICY, "Slow client detected") =>
            "the client does not read";
        UNFINISHED = Closing::new(CloseCode::POLICY, "Message not finished in time") =>
            "a message takes longer than `Limits::message_timeout`";
        UNREAD = Closing::new(CloseCode::POLICY, "Too many messages wait") =>
            "the inbound queue has been full for so long that the server would not notice that \
             the client has left";
        TOO_LARGE = Closing::new(CloseCode::TOO_LARGE, "Message larger than {} bytes") =>
            "a message is larger than `Limits::message_size`";
        TOO_MANY_FRAGMENTS =
            Closing::new(CloseCode::TOO_LARGE, "Message in more than {} fragments") =>
            "a message has more frames than `Limits::fragments`";
        INTERNAL = Closing::new(CloseCode::INTERNAL, "Internal error {}") =>
            "a connect handler, `on_connect` or a relay fails with an internal error; the reason \
             has the `error_id`";
        CONNECT_TIMEOUT = Closing::new(CloseCode::TRY_AGAIN_LATER, "Connect timed out") =>
            "the connect handlers take longer than `Limits::connect_timeout`";
        ROOM_FULL = Closing::new(CloseCode::TRY_AGAIN_LATER, "the room is full") =>
            "the room of the path is full, or the connection is in too many rooms; the reason is \
             then `leave a room first`";
        TOO_MUCH_UNFINISHED =
            Closing::new(CloseCode::TRY_AGAIN_LATER, "Too much unfinished data") =>
            "the unfinished messages of all clients exceed `Limits::inbound_total`, and those of \
             this client its share";
    }
}

/// An HTTP answer of the framework to a request that it does not accept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpRefusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
}

impl HttpRefusal {
    const fn new(status: u16, code: &'static str) -> Self {
        Self { status, code }
    }
}

pub(crate) mod http_refusal {
    use super::{HttpRefusal, code};

    table! { HttpRefusal:
        BAD_REQUEST = HttpRefusal::new(400, "bad_request") =>
            "the request is not valid HTTP, a line of its head ends without CR, or the handshake \
             breaks RFC 6455";
        INVALID_PATH = HttpRefusal::new(400, code::INVALID_PATH) =>
            "the parameters of the path do not fit the `Path<T>` of a connect handler or of \
             `on_handshake`, or the path is not percent-encoded UTF-8";
        INVALID_QUERY = HttpRefusal::new(400, code::INVALID_QUERY) =>
            "the query does not fit the `Query<T>` of a connect handler or of `on_handshake`";
        FORBIDDEN = HttpRefusal::new(403, code::FORBIDDEN) => "the origin may not connect";
        NOT_FOUND = HttpRefusal::new(404, "not_found") => "no router serves the path";
        METHOD_NOT_ALLOWED = HttpRefusal::new(405, "method_not_allowed") => "the method is not GET";
        UPGRADE_REQUIRED = HttpRefusal::new(426, "upgrade_required") =>
            "the request is not for a WebSocket";
        UNSUPPORTED_VERSION = HttpRefusal::new(426, "unsupported_version") =>
            "the version of the protocol is not 13";
        HEAD_TOO_LARGE = HttpRefusal::new(431, "head_too_large") =>
            "the request head exceeds `Limits::request_head_size` or `Limits::request_headers`";
        INTERNAL = HttpRefusal::new(500, code::INTERNAL) =>
            "a room check, middleware, or the type of a `Path` or `Query` fails or panics; \
             `error_id` leads to the cause in the log";
        UNAVAILABLE = HttpRefusal::new(503, code::UNAVAILABLE) =>
            "the server has no place left, is stopping, or took longer than \
             `Limits::handshake_timeout`; with `Retry-After`";
    }
}

#[cfg(test)]
mod tests;
