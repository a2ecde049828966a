//! The extractor of axum [`JsonBody`]: the JSON body of an HTTP request.

use std::str::from_utf8;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use crate::codec::check_keys;

/// The JSON body of an HTTP request, for handlers of an axum application that extract a
/// [`Value`](serde_json::Value).
///
/// It works as `axum::Json` does for requests, and also refuses keys that serde_json reserves, with
/// 400. aiows turns on the feature `raw_value` of serde_json. With it, serde_json parses a `Value`
/// under such a key once more, so it may be nested as deeply as a separate text. If a type contains
/// no `Value`, it is safe with both extractors.
///
/// As with `axum::Json`, the content type must be `application/json` or end in `+json`. Other types
/// are refused with 415, invalid JSON with 400, and JSON that does not fit the type with 422.
///
/// ```
/// use aiows::server::JsonBody;
/// use axum::routing::post;
/// use serde_json::Value;
///
/// async fn hook(JsonBody(event): JsonBody<Value>) {
///     println!("{}", event["action"]);
/// }
///
/// let application: axum::Router = axum::Router::new().route("/hook", post(hook));
/// # let _ = application;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        if !is_json(request.headers()) {
            let text = "the body is not declared as `application/json`";
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, text).into_response());
        }
        let body = Bytes::from_request(request, state).await;
        read(&body.map_err(IntoResponse::into_response)?)
            .map(Self)
            .map_err(|(status, text)| (status, text).into_response())
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (StatusCode, &'static str)> {
    const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "the body is not valid JSON");
    let text = from_utf8(body).map_err(|_| INVALID)?;
    if check_keys(text).is_err() {
        return Err((StatusCode::BAD_REQUEST, "the body has a key that is reserved"));
    }
    serde_json::from_str(text).map_err(|error| match error.is_data() {
        true => (StatusCode::UNPROCESSABLE_ENTITY, "the body does not have the expected fields"),
        false => INVALID,
    })
}

/// A page may send other types to any site without a preflight request.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}
