//! The extractor [`Extension`]: values that layers of a host application add to the request.

use std::any::type_name;

use http::Extensions;

use super::Call;
use super::request::request;
use super::{Extraction, FromCall, Needs};
use crate::error::HandlerError;
use crate::handshake::RequestInfo;

/// A clone of a value that a layer of the host application has added to the extensions of the
/// request, such as the user of a session.
///
/// Requests have extensions if the server is part of an axum application (`App::into_service`, with
/// the feature `axum`). If the request does not have one of type `T`, the handler fails with
/// `internal`, and the log names the type; a connect handler that fails in this way closes the
/// connection with 1011. Take `Option<Extension<T>>` if you want `None` in this case. Middleware
/// reads extensions with [`Handshake::extensions`](crate::middleware::Handshake::extensions), and
/// can refuse the request.
///
/// A connection keeps the extensions only if one of its handlers takes them.
///
/// ```
/// use aiows::extract::Extension;
/// use aiows::message;
///
/// #[derive(Clone)]
/// struct User(String);
///
/// #[message("whoami")]
/// async fn whoami(Extension(user): Extension<User>) -> serde_json::Value {
///     serde_json::json!({ "type": "you", "name": user.0 })
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extension<T>(pub T);

impl<T: Clone + Send + Sync + 'static> Extension<T> {
    fn read(info: &RequestInfo) -> Result<Self, HandlerError> {
        let value = info.extensions.get::<T>().cloned().map(Self);
        value.ok_or_else(|| {
            let name = type_name::<T>();
            format!(
                "no layer of the host application has added a `{name}` to the request's extensions"
            )
            .into()
        })
    }

    fn keep(from: &Extensions, to: &mut Extensions) {
        if let (Some(value), None) = (from.get::<T>(), to.get::<T>()) {
            to.insert(value.clone());
        }
    }
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> FromCall for Extension<T> {
    fn from_call(call: &Call) -> Extraction<Self> {
        request(call, "Extension").and_then(Self::read).into()
    }

    fn needs(needs: &mut Needs) {
        // Not checked before the upgrade: middleware runs after these checks and must be able to
        // refuse the request with a status of its own.
        needs.keep(Self::keep);
    }
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> FromCall for Option<Extension<T>> {
    fn from_call(call: &Call) -> Extraction<Self> {
        let info = request(call, "Extension");
        info.map(|info| info.extensions.get::<T>().cloned().map(Extension)).into()
    }

    fn needs(needs: &mut Needs) {
        needs.keep(Extension::<T>::keep);
    }
}
