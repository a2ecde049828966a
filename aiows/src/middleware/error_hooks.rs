//! The hooks that see errors: `Middleware::on_error`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::{BoxFuture, HandlerFuture};

pub(super) type ErrorHook = Arc<dyn Fn(Call, HandlerError) -> BoxFuture<Infallible> + Send + Sync>;

/// Resolves to the error that the last hook returned.
pub(super) type Review = Pin<Box<dyn Future<Output = HandlerError> + Send>>;

/// The middleware that override `on_error`, the outermost first.
#[derive(Clone, Default)]
pub(crate) struct ErrorHooks {
    hooks: Arc<[ErrorHook]>,
}

impl ErrorHooks {
    pub(super) fn new(hooks: impl Iterator<Item = ErrorHook>) -> Self {
        Self { hooks: hooks.collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.hooks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Passes an error through the hooks from the inside out, except for the outermost `known`
    /// ones.
    pub(crate) fn review(&self, known: usize, call: Call, mut error: HandlerError) -> Review {
        let hooks = Arc::clone(&self.hooks);
        let connection = Some(call.websocket().id());
        Box::pin(async move {
            for hook in hooks[known..].iter().rev() {
                let run = HandlerFuture::start(connection, || hook(call.clone(), error));
                Err(error) = run.await;
            }
            error
        })
    }
}
