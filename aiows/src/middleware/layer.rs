//! Middleware with its type erased, reduced to the methods it overrides.

use std::any::TypeId;
use std::sync::Arc;

use super::default::{Allowed, OnConnect, OnDisconnect, OnMessage, PassThrough, Unchanged};
use super::error_hooks::{ErrorHook, ErrorHooks};
use super::handshake::{Handshake, HandshakeHook};
use super::{Middleware, Next};
use crate::error::HandlerError;
use crate::extract::Call;
use crate::handler::BoxFuture;

pub(crate) type MiddlewareFn = Arc<dyn Fn(Call, Next) -> BoxFuture + Send + Sync>;

/// One middleware with its type erased. Methods that it does not override are `None`.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(super) handshake: Option<HandshakeHook>,
    pub(crate) connect: Option<MiddlewareFn>,
    pub(crate) message: Option<MiddlewareFn>,
    pub(crate) disconnect: Option<MiddlewareFn>,
    pub(super) error: Option<ErrorHook>,
}

impl Layer {
    pub(crate) fn error_hooks(layers: &[Self]) -> ErrorHooks {
        ErrorHooks::new(layers.iter().filter_map(|layer| layer.error.clone()))
    }

    pub(crate) fn handshake_hooks(layers: &[Self]) -> impl Iterator<Item = HandshakeHook> {
        layers.iter().filter_map(|layer| layer.handshake.clone())
    }

    pub(crate) fn new<M: Middleware>(middleware: M) -> Self {
        let shared = Arc::new(middleware);
        Self {
            handshake: overrides_handshake(M::on_handshake).then(|| -> HandshakeHook {
                let shared = Arc::clone(&shared);
                Arc::new(move |handshake| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.on_handshake(&handshake).await })
                })
            }),
            connect: overrides::<M, OnConnect, _>(M::on_connect).then(|| {
                let shared = Arc::clone(&shared);
                middleware_fn(move |call, next| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.on_connect(call, next).await })
                })
            }),
            message: overrides::<M, OnMessage, _>(M::on_message).then(|| {
                let shared = Arc::clone(&shared);
                middleware_fn(move |call, next| {
                    let shared = Arc::clone(&shared);
                    Box::pin(async move { shared.on_message(call, next).await })
                })
            }),
            disconnect: overrides::<M, OnDisconnect, _>(M::on_disconnect).then(|| {
                let shared = Arc::clone(&shared);
                middleware_fn(move |call, next| {
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

fn middleware_fn(hook: impl Fn(Call, Next) -> BoxFuture + Send + Sync + 'static) -> MiddlewareFn {
    Arc::new(hook)
}

/// Returns whether a middleware overrides the method `H`; see [`super::default`].
fn overrides<M: 'static, H: 'static, Fut: 'static>(
    _method: impl Fn(&'static M, Call, Next) -> Fut,
) -> bool {
    TypeId::of::<Fut>() != TypeId::of::<PassThrough<M, H>>()
}

fn overrides_handshake<M: 'static, Fut: 'static>(
    _method: impl Fn(&'static M, &'static Handshake) -> Fut,
) -> bool {
    TypeId::of::<Fut>() != TypeId::of::<Allowed<M>>()
}

fn overrides_error<M: 'static, Fut: 'static>(
    _method: impl Fn(&'static M, &'static Call, HandlerError) -> Fut,
) -> bool {
    TypeId::of::<Fut>() != TypeId::of::<Unchanged<M>>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handler::Outcome;

    type Returned = Result<Outcome, HandlerError>;

    fn overridden<M: Middleware>(middleware: M) -> [bool; 5] {
        let Layer { handshake, connect, message, disconnect, error } = Layer::new(middleware);
        let rest = [connect.is_some(), message.is_some(), disconnect.is_some(), error.is_some()];
        [handshake.is_some(), rest[0], rest[1], rest[2], rest[3]]
    }

    #[test]
    fn only_overridden_methods_are_kept() {
        struct Empty;
        impl Middleware for Empty {}
        struct Handshakes;
        impl Middleware for Handshakes {
            async fn on_handshake(&self, _handshake: &Handshake) -> Result<(), HandlerError> {
                Ok(())
            }
        }
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
        assert_eq!(overridden(Empty), [false; 5]);
        assert_eq!(overridden(Handshakes), [true, false, false, false, false]);
        assert_eq!(overridden(Connect), [false, true, false, false, false]);
        let message = crate::middleware::from_fn(|call, next| async move { next.run(call).await });
        assert_eq!(overridden(message), [false, false, true, false, false]);
        assert_eq!(overridden(Disconnect), [false, false, false, true, false]);
        assert_eq!(overridden(Error(String::new())), [false, false, false, false, true]);
    }
}
