//! The futures of methods that a middleware does not override.
//!
//! Each type names the middleware and the method it is the default of. Only the default method makes
//! such a future, and a middleware that overrides the method has no other way to call its own default.
//! So a method whose future has this very type is not overridden. Passing a call on to another
//! middleware's default, or to the default of another method, gives another type.

use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Next;
use crate::error::{HandlerError, Result};
use crate::extract::Call;
use crate::handler::BoxFuture;
use crate::handler::Outcome;

/// Invariant: a type and its subtype are two middleware.
type Of<M> = PhantomData<fn(*mut M)>;

pub(super) enum OnConnect {}
pub(super) enum OnMessage {}
pub(super) enum OnDisconnect {}

/// The default of the method `H` of the middleware `M`.
pub(super) struct PassThrough<M: ?Sized, H>(BoxFuture, Of<M>, PhantomData<H>);

impl<M: ?Sized, H> PassThrough<M, H> {
    pub(super) fn new(call: Call, next: Next) -> Self {
        Self(Box::pin(next.run(call)), PhantomData, PhantomData)
    }
}

impl<M: ?Sized, H: Unpin> Future for PassThrough<M, H> {
    type Output = Result<Outcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// The default of `on_error`.
pub(super) struct Unchanged<M: ?Sized>(Ready<HandlerError>, Of<M>);

impl<M: ?Sized> Unchanged<M> {
    pub(super) fn new(error: HandlerError) -> Self {
        Self(ready(error), PhantomData)
    }
}

impl<M: ?Sized> Future for Unchanged<M> {
    type Output = HandlerError;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HandlerError> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// The default of `on_handshake`.
pub(super) struct Allowed<M: ?Sized>(Ready<Result>, Of<M>);

impl<M: ?Sized> Allowed<M> {
    pub(super) fn new() -> Self {
        Self(ready(Ok(())), PhantomData)
    }
}

impl<M: ?Sized> Future for Allowed<M> {
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result> {
        Pin::new(&mut self.0).poll(cx)
    }
}
