use std::any::TypeId;
use std::sync::Arc;

use super::errors::ErrorHook;
use super::{Middleware, Next, PassThrough, Unchanged};
use crate::call::Call;
use crate::error::HandlerError;
use crate::route::BoxFuture;

pub(crate) type Hook = Arc<dyn Fn(Call, Next) -> BoxFuture + Send + Sync>;

/// One middleware, erased: the methods it overrides.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) connect: Option<Hook>,
    pub(crate) message: Option<Hook>,
    pub(crate) disconnect: Option<Hook>,
    pub(super) error: Option<ErrorHook>,
}

impl Layer {
    pub(crate) fn new<M: Middleware>(middleware: M) -> Self {
        let shared = Arc::new(middleware);
        Self {
            connect: overrides(M::on_connect).then(|| {
                let shared = Arc::clone(&shared);
                hook(move |call, next| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.on_connect(call, next).await })
                })
            }),
            message: overrides(M::on_message).then(|| {
                let shared = Arc::clone(&shared);
                hook(move |call, next| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.on_message(call, next).await })
                })
            }),
            disconnect: overrides(M::on_disconnect).then(|| {
                let shared = Arc::clone(&shared);
                hook(move |call, next| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.on_disconnect(call, next).await })
                })
            }),
            error: overrides_error(M::on_error).then(|| -> ErrorHook {
                Arc::new(move |call, error| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { Err(shared.on_error(&call, error).await) })
                })
            }),
        }
    }
}

fn hook(hook: impl Fn(Call, Next) -> BoxFuture + Send + Sync + 'static) -> Hook {
    Arc::new(hook)
}

/// Whether a method is the middleware's own: the default one has a future nobody else can make.
fn overrides<M: 'static, Fut: 'static>(_method: impl Fn(&'static M, Call, Next) -> Fut) -> bool {
    TypeId::of::<Fut>() != TypeId::of::<PassThrough>()
}

fn overrides_error<M: 'static, Fut: 'static>(
    _method: impl Fn(&'static M, &'static Call, HandlerError) -> Fut,
) -> bool {
    TypeId::of::<Fut>() != TypeId::of::<Unchanged>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Outcome;

    type Returned = Result<Outcome, HandlerError>;

    fn overridden<M: Middleware>(middleware: M) -> [bool; 4] {
        let Layer { connect, message, disconnect, error } = Layer::new(middleware);
        [connect.is_some(), message.is_some(), disconnect.is_some(), error.is_some()]
    }

    #[test]
    fn only_overridden_methods_are_kept() {
        struct Nothing;
        impl Middleware for Nothing {}
        struct Connect;
        impl Middleware for Connect {
            async fn on_connect(&self, call: Call, next: Next) -> Returned {
                next.run(call).await
            }
        }
        struct Disconnect;
        impl Middleware for Disconnect {
            async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
                next.run(call).await
            }
        }
        struct Error<T>(T);
        impl<T: Send + Sync + 'static> Middleware for Error<T> {
            async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
                error
            }
        }
        assert_eq!(overridden(Nothing), [false; 4]);
        assert_eq!(overridden(Connect), [true, false, false, false]);
        let message = crate::middleware::from_fn(|call, next| async move { next.run(call).await });
        assert_eq!(overridden(message), [false, true, false, false]);
        assert_eq!(overridden(Disconnect), [false, false, true, false]);
        assert_eq!(overridden(Error(String::new())), [false, false, false, true]);
    }
}
