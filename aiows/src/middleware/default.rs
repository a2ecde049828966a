//! The futures of the default methods of `Middleware`.
//!
//! Each type names the middleware and the method that returns it. Only the default method can
//! create such a future, and a middleware that overrides a method cannot call its own default. So
//! if a method returns this exact type, it is not overridden. If a method passes a call on to the
//! default of another middleware or of another method, the type differs.

use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Next;
use crate::error::{HandlerError, Result};
use crate::extract::Call;
use crate::handler::{BoxFuture, Outcome};

/// Invariant in `M`: a type and its subtype are two different middleware.
type Invariant<M> = PhantomData<fn(*mut M)>;

pub(super) enum OnConnect {}
pub(super) enum OnMessage {}
pub(super) enum OnDisconnect {}

/// Returned by the default of the method `H` of the middleware `M`.
pub(super) struct PassThrough<M: ?Sized, H>(BoxFuture, Invariant<M>, PhantomData<H>);

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

/// Returned by the default of `on_error`.
pub(super) struct Unchanged<M: ?Sized>(Ready<HandlerError>, Invariant<M>);

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

/// Returned by the default of `on_handshake`.
pub(super) struct Allowed<M: ?Sized>(Ready<Result>, Invariant<M>);

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
