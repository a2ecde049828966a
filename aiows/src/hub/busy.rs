//! Publishing to clients with full queues, after their sessions have written.

use std::collections::VecDeque;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Delivery;
use crate::outbox::{Attempts, OfferResult, SharedFrame};
use crate::websocket::WebSocket;

/// Frames for clients with full queues although their sockets are not known to block.
///
/// They are published after all other recipients were served, once the sessions have tried to
/// write.
#[derive(Default)]
pub(super) struct BusyMembers<'a> {
    members: Vec<BusyMember<'a>>,
}

/// The frames that one client has yet to receive, in order.
struct BusyMember<'a> {
    socket: &'a WebSocket,
    frames: VecDeque<(SharedFrame, Attempts)>,
    delivery: Delivery,
}

impl<'a> BusyMembers<'a> {
    /// Adds a frame. All frames of one client must be added in a row.
    pub(super) fn add(&mut self, socket: &'a WebSocket, frame: &SharedFrame, since: Attempts) {
        let frame = (frame.clone(), since);
        match self.members.last_mut().filter(|last| last.socket.id() == socket.id()) {
            Some(last) => last.frames.push_back(frame),
            None => self.members.push(BusyMember {
                socket,
                frames: VecDeque::from([frame]),
                delivery: Delivery::default(),
            }),
        }
    }

    /// Waits for all sessions at once, at most for the longest write timeout of these clients.
    /// Outside of a runtime the timer of the sessions' runtime is used.
    pub(super) async fn publish(self, sessions: Option<Handle>, delivery: &mut Delivery) {
        for member in self.publish_all(sessions).await {
            delivery.accepted += member.delivery.accepted;
            delivery.refused += member.delivery.refused;
        }
    }

    /// Publishes like [`publish`](Self::publish), and returns the clients that missed at least one
    /// frame.
    pub(super) async fn publish_and_find_refused(self) -> Vec<&'a WebSocket> {
        let members = self.publish_all(None).await.into_iter();
        members.filter(|member| member.delivery.refused > 0).map(|member| member.socket).collect()
    }

    async fn publish_all(mut self, sessions: Option<Handle>) -> Vec<BusyMember<'a>> {
        // Routes may have different timeouts.
        let limits = self.members.iter().map(|member| member.socket.outbox().write_timeout());
        let Some(limit) = limits.max() else { return self.members };
        let published = {
            let runtime = Handle::try_current().ok().or(sessions);
            // A timer belongs to the runtime in which it is created.
            let _entered = runtime.as_ref().map(Handle::enter);
            timeout(limit, join_all(self.members.iter_mut().map(BusyMember::publish)))
        };
        let _ = published.await;
        self.members.iter_mut().for_each(BusyMember::give_up);
        self.members
    }
}

impl BusyMember<'_> {
    async fn publish(&mut self) {
        let Self { socket, frames, delivery } = self;
        while let Some((frame, since)) = frames.front() {
            match socket.outbox().publish_later(frame, *since).await {
                OfferResult::Dropped => delivery.refused += 1,
                OfferResult::Full | OfferResult::Closed => {
                    socket.leave_if_closed();
                    delivery.refused += 1;
                }
                OfferResult::Deferred => {
                    socket.outbox().flush_deferred();
                    delivery.accepted += 1;
                }
                OfferResult::Queued | OfferResult::Busy(_) => delivery.accepted += 1,
            }
            frames.pop_front();
        }
    }

    /// Counts the remaining frames as refused: the session did not write in time.
    fn give_up(&mut self) {
        for (_, since) in self.frames.drain(..) {
            self.socket.outbox().give_up_publish(since);
            self.delivery.refused += 1;
        }
    }
}
