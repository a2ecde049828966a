//! The hooks that see errors: `Middleware::on_error`.

use std::sync::Arc;

use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::{BoxFuture, isolated};

pub(super) type ErrorHook = Arc<dyn Fn(Call, HandlerError) -> BoxFuture + Send + Sync>;

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
    ///
    /// The future always resolves to the error that the last hook returned.
    pub(crate) fn review(&self, known: usize, call: Call, mut error: HandlerError) -> BoxFuture {
        let hooks = Arc::clone(&self.hooks);
        Box::pin(async move {
            for hook in hooks[known..].iter().rev() {
                match isolated(Some(call.websocket().id()), || hook(call.clone(), error)).await {
                    Ok(outcome) => return Ok(outcome),
                    Err(left) => error = left,
                }
            }
            Err(error)
        })
    }
}
