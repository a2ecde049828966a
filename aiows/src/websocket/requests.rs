//! Requests to the client, and the handlers that wait for its answers.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::oneshot::{self, Receiver, Sender};
use tokio::time::{self, sleep};

use super::WebSocket;
use crate::codec::{HeadId, Tag, check_nesting, decode, question_number, read_head};
use crate::error::{HandlerError, RequestError, SendError, code, cut};
use crate::limits::Limits;
use crate::message::{ErrorFrame, Incoming, Outgoing, encode};
use crate::protocol::Inbound;

/// The most requests of one connection that may wait for their answers at once.
const MAX_WAITING: usize = 64;

/// The most bytes that are kept of a client's error, since an application may log it.
const MAX_CODE: usize = 64;
const MAX_MESSAGE: usize = 4 * 1024;

/// The result of a request: the client's answer, or `None` because too many messages wait before
/// it.
type Reply = Option<Inbound>;

/// The requests to one client; allocated for the first one.
#[derive(Default)]
pub(super) struct Requests {
    /// The number of requests that wait. Changed under the lock, read without it.
    waiting: AtomicUsize,
    pending: Mutex<Option<Box<PendingRequests>>>,
}

#[derive(Default)]
struct PendingRequests {
    last: u64,
    waiting: Vec<(u64, Sender<Reply>)>,
}

/// A request that waits for its answer. Dropping it removes it from the pending ones.
struct Request<'a> {
    requests: &'a Requests,
    number: u64,
    reply: Receiver<Reply>,
}

/// The error that a client sends instead of an answer. Its fields may have any type.
#[derive(Deserialize)]
struct Refusal {
    code: Option<Box<RawValue>>,
    message: Option<Box<RawValue>>,
}

impl WebSocket {
    /// Sends a request to the client and waits for its answer, for at most `timeout`.
    ///
    /// The request is sent with an `id` that the server chooses: `"s1"`, then `"s2"` and so on. The
    /// answer is the next message with that `correlation_id`. It overtakes the messages that wait
    /// for their handlers, so you can wait for it within a message handler. The answer is decoded
    /// and validated as an `R`; no handler and no middleware gets it, and it is not acknowledged.
    /// If a message answers no request, because the request is already answered or its future was
    /// dropped, it is handled like any other message.
    ///
    /// ```
    /// use aiows::testing::TestServer;
    /// use aiows::{Message, Result, Router, WebSocket, message, routes};
    /// use serde::{Deserialize, Serialize};
    /// use std::time::Duration;
    ///
    /// #[derive(Message, Deserialize, Serialize)]
    /// struct Delete {
    ///     files: u32,
    /// }
    ///
    /// #[derive(Message, Deserialize, Serialize)]
    /// struct Confirm {
    ///     text: String,
    /// }
    ///
    /// #[derive(Message, Deserialize, Serialize)]
    /// struct Decision {
    ///     yes: bool,
    /// }
    ///
    /// #[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
    /// struct Deleted {
    ///     files: u32,
    /// }
    ///
    /// #[message("delete")]
    /// async fn delete(ws: WebSocket, Delete { files }: Delete) -> Result<Deleted> {
    ///     let question = Confirm { text: format!("Delete {files} files?") };
    ///     let decision: Decision = ws.request(&question, Duration::from_secs(30)).await?;
    ///     Ok(Deleted { files: if decision.yes { files } else { 0 } })
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let server = TestServer::new(Router::new().routes(routes![delete]));
    /// let mut client = server.connect().await;
    /// client.send(&Delete { files: 3 }).await;
    /// let (confirm, id) = client.recv_question::<Confirm>().await;
    /// assert_eq!((confirm.text.as_str(), id.as_json()), ("Delete 3 files?", r#""s1""#));
    /// client.answer(id, &Decision { yes: true }).await;
    /// assert_eq!(client.recv::<Deleted>().await, Deleted { files: 3 });
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RequestError`] has the reason why there is no answer. If the connection has ended or is
    /// about to end, so that [`closed`](Self::closed) is ready, no request is sent. When it ends,
    /// every pending request gets [`Closed`](RequestError::Closed) at once. Only a server that
    /// shuts down leaves the client 2 s, or a quarter of the shutdown timeout if that is less, to
    /// answer the requests of pending handlers. An answer of type `error` is a
    /// [refusal](RequestError::Refused), and an answer of another type than that of `R` is
    /// [invalid](RequestError::Invalid).
    ///
    /// # Cancel safety
    ///
    /// If you drop the future, the request is forgotten, but may already have been sent. An answer
    /// to it is then handled like any other message.
    pub async fn request<R: Incoming>(
        &self,
        message: &(impl Outgoing + ?Sized),
        timeout: Duration,
    ) -> Result<R, RequestError> {
        if self.closed().now_or_never().is_some() {
            return Err(RequestError::Closed);
        }
        let mut request = self.record.requests.begin().ok_or(RequestError::TooMany)?;
        let encoded = encode(self.tag(), HeadId::Question(request.number), message)
            .map_err(SendError::Encode)?;
        let answered = async {
            self.outbox().push(encoded).await?;
            // The sending half is kept until it is used, or until the request is dropped.
            (&mut request.reply).await.map_err(|_| RequestError::Closed)
        };
        let reply = tokio::select! {
            biased;
            reply = time::timeout(timeout, answered) => reply.map_err(|_| RequestError::Timeout)??,
            // An answer that came before the end counts, even if both are noticed together.
            () = self.no_answer_expected() => request.reply.try_recv().map_err(|_| RequestError::Closed)?,
        };
        let answer = reply.ok_or(RequestError::Congested)?;
        read_answer(self.tag(), answer.as_text().unwrap_or_default())
    }

    /// Waits until no answer of the client is expected any more.
    async fn no_answer_expected(&self) {
        self.closed().await;
        if let Some(grace) = self.outbox().drain_grace() {
            sleep(grace).await;
        }
    }

    /// Whether a request waits for the client's answer.
    pub(crate) fn awaits_answer(&self) -> bool {
        // A request is counted before it is queued, and the lock of the outbox orders the two.
        self.record.requests.waiting.load(Ordering::Relaxed) > 0
    }

    /// Hands a message to the request it answers; returns it if it answers none.
    pub(crate) fn take_answer(&self, message: Inbound, limits: &Limits) -> Option<Inbound> {
        let number = std::str::from_utf8(message.bytes())
            .ok()
            .filter(|text| check_nesting(text, limits.nesting).is_ok())
            .and_then(question_number);
        let Some(number) = number else {
            return Some(message);
        };
        self.record.requests.answer(number, message)
    }

    /// Ends all requests because the client cannot answer any more.
    pub(crate) fn end_requests(&self) {
        if self.awaits_answer() {
            let waiting = self.record.requests.with(|pending| std::mem::take(&mut pending.waiting));
            drop(waiting);
        }
    }

    /// Fails all requests because their answers cannot be read past the messages that wait.
    pub(crate) fn fail_requests(&self) {
        let waiting = self.record.requests.with(|pending| std::mem::take(&mut pending.waiting));
        // The caller may have dropped its receiver.
        waiting.into_iter().for_each(|(_, sender)| drop(sender.send(None)));
    }
}

impl Requests {
    fn with<R>(&self, change: impl FnOnce(&mut PendingRequests) -> R) -> R {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = pending.get_or_insert_default();
        let result = change(pending);
        self.waiting.store(pending.waiting.len(), Ordering::Relaxed);
        result
    }

    /// Adds a request; `None` if too many wait already.
    fn begin(&self) -> Option<Request<'_>> {
        let (sender, reply) = oneshot::channel();
        let number = self.with(|pending| {
            if pending.waiting.len() >= MAX_WAITING {
                return None;
            }
            pending.last += 1;
            pending.waiting.push((pending.last, sender));
            Some(pending.last)
        })?;
        Some(Request { requests: self, number, reply })
    }

    fn answer(&self, number: u64, message: Inbound) -> Option<Inbound> {
        let sender = self.remove(number);
        let Some(sender) = sender else {
            return Some(message);
        };
        sender.send(Some(message)).err().flatten()
    }

    fn remove(&self, number: u64) -> Option<Sender<Reply>> {
        self.with(|pending| {
            let at = pending.waiting.iter().position(|(waiting, _)| *waiting == number)?;
            Some(pending.waiting.swap_remove(at).1)
        })
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        self.requests.remove(self.number);
    }
}

fn read_answer<R: Incoming>(tag: &Tag, text: &str) -> Result<R, RequestError> {
    let head = read_head(tag, text).map_err(RequestError::Invalid)?;
    if head.message_type == ErrorFrame::TYPE {
        let (refusal, _) = decode::<Refusal>(tag, text).map_err(RequestError::Invalid)?;
        return Err(RequestError::Refused {
            code: cut(&text_of(refusal.code.as_deref()), MAX_CODE).to_owned(),
            message: cut(&text_of(refusal.message.as_deref()), MAX_MESSAGE).to_owned(),
        });
    }
    if head.message_type != R::TYPE {
        let text = format!("the answer is not of type `{}`", R::TYPE);
        return Err(RequestError::Invalid(HandlerError::new(code::INVALID_MESSAGE, text)));
    }
    let (answer, _) = decode::<R>(tag, text).map_err(RequestError::Invalid)?;
    answer.validate().map_err(RequestError::Invalid)?;
    Ok(answer)
}

/// Returns a part of a refusal as text: a string, or a number as it is written.
fn text_of(value: Option<&RawValue>) -> Cow<'_, str> {
    let json = value.map_or("", RawValue::get);
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).unwrap_or_default(),
        Some(b'-' | b'0'..=b'9') => json.into(),
        _ => "".into(),
    }
}
