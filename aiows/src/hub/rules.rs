//! The rules for the rooms of a server.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::sleep;

use crate::error::{HandlerError, Result, code};
use crate::limits::{Limits, SLOW_HANDLER};
use crate::websocket::WebSocket;

type Checked = Pin<Box<dyn Future<Output = Result> + Send>>;

/// The application's check whether a connection may join a room.
pub(crate) type RoomCheck = Arc<dyn Fn(String, WebSocket) -> Checked + Send + Sync>;

pub(crate) fn room_check<F, Fut, E>(check: F) -> RoomCheck
where
    F: Fn(String, WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = std::result::Result<(), E>> + Send + 'static,
    E: Into<HandlerError>,
{
    Arc::new(move |room, socket| {
        let checked = check(room, socket);
        Box::pin(async move { checked.await.map_err(Into::into) })
    })
}

#[derive(Default)]
pub(crate) struct Rules {
    pub(crate) limits: Arc<Limits>,
    pub(crate) check: Option<RoomCheck>,
    /// Whether sending to all connections is an error.
    pub(crate) needs_room: bool,
}

/// Whether a text is valid as the name of a room, user or connection. White space alone looks like
/// a form that was not filled in, and control characters could break a line of the log.
pub(super) fn is_name(text: &str, max: usize) -> bool {
    text.len() <= max && !text.trim().is_empty() && !text.contains(char::is_control)
}

impl Rules {
    /// # Errors
    ///
    /// `invalid_room` for an invalid name, or the error of the application's check.
    pub(super) async fn allow(&self, room: &str, socket: &WebSocket) -> Result {
        if !is_name(room, self.limits.room_name_size) {
            return Err(HandlerError::new(code::INVALID_ROOM, "this is not a valid room name")
                .with("max_bytes", self.limits.room_name_size));
        }
        match &self.check {
            Some(check) => with_warning(check(room.to_owned(), socket.clone()), room, socket).await,
            None => Ok(()),
        }
    }
}

/// Runs a room check. If it does not return, one warning is logged, unless it waits for a reply of
/// its client.
async fn with_warning(check: Checked, room: &str, socket: &WebSocket) -> Result {
    let slow = async {
        loop {
            sleep(SLOW_HANDLER).await;
            if !socket.awaits_answer() {
                let seconds = SLOW_HANDLER.as_secs();
                tracing::warn!(connection = %socket.id(), room, "a room check has not returned for {seconds} s");
                return pending::<Result>().await;
            }
        }
    };
    tokio::select! {
        biased;
        checked = check => checked,
        never = slow => never,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::error::SendError;
    use crate::hub::Hub;

    #[test]
    fn namespaces_are_created_once_and_never_by_a_lookup() {
        let hub = Hub::default();
        let send = || hub.all().send_text("x").now_or_never().unwrap();
        assert_eq!(send().unwrap().accepted, 0);
        assert!(hub.namespace("a").is_none());
        let rules = || Rules { needs_room: true, ..Rules::default() };
        assert_eq!(hub.open(&["b", "a", "b"], rules()).unwrap().len(), 3);
        assert!(matches!(send(), Err(SendError::NoRoom)));
        assert!(hub.namespace("a").is_some());
        // A second server cannot set rules of its own here; its build reports that.
        assert!(hub.open(&["c"], rules()).is_err());
        assert!(hub.namespace("c").is_none());
    }
}
