use std::sync::Arc;

use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::{BoxFuture, isolated};

pub(super) type ErrorHook = Arc<dyn Fn(Call, HandlerError) -> BoxFuture + Send + Sync>;

/// The middleware that wants to see a failure, the outermost first.
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

    /// Shows a failure to all but the outermost `known`, from the inside out.
    ///
    /// The future always ends with an error: the one they left.
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
