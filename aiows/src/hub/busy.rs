//! What is published to clients whose sessions have to write first.

use std::collections::VecDeque;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::Delivery;
use crate::outbox::{Attempts, Published, SharedFrame};
use crate::websocket::{Directory, WebSocket};

/// Frames for clients whose queues are full although their sockets are not known to refuse bytes.
///
/// They are published after everybody else was served, when the sessions have tried their streams.
#[derive(Default)]
pub(super) struct Late<'a> {
    members: Vec<LateMember<'a>>,
}

/// What one client is still to be sent, in order.
struct LateMember<'a> {
    socket: &'a WebSocket,
    frames: VecDeque<(SharedFrame, Attempts)>,
    delivery: Delivery,
}

impl<'a> Late<'a> {
    /// Adds a frame; those of one client come one after another.
    pub(super) fn add(&mut self, socket: &'a WebSocket, frame: &SharedFrame, since: Attempts) {
        let frame = (frame.clone(), since);
        match self.members.last_mut().filter(|last| last.socket.id() == socket.id()) {
            Some(last) => last.frames.push_back(frame),
            None => self.members.push(LateMember {
                socket,
                frames: VecDeque::from([frame]),
                delivery: Delivery::default(),
            }),
        }
    }

    /// Waits for all sessions at once, at most as long as a client may refuse to read. A publisher
    /// outside of a runtime waits with the timer of the sessions.
    pub(super) async fn publish(self, directory: &dyn Directory) -> Delivery {
        let mut delivery = Delivery::default();
        for member in self.publish_all(|| directory.runtime()).await {
            delivery.accepted += member.delivery.accepted;
            delivery.refused += member.delivery.refused;
        }
        delivery
    }

    /// As [`publish`](Self::publish); returns the clients that did not get all of their frames.
    pub(super) async fn publish_and_find_refused(self) -> Vec<&'a WebSocket> {
        let members = self.publish_all(|| None).await.into_iter();
        members.filter(|member| member.delivery.refused > 0).map(|member| member.socket).collect()
    }

    async fn publish_all(
        mut self,
        sessions: impl FnOnce() -> Option<Handle>,
    ) -> Vec<LateMember<'a>> {
        // Routes may differ in it.
        let limits = self.members.iter().map(|member| member.socket.outbox().write_timeout());
        let Some(limit) = limits.max() else { return self.members };
        let published = {
            let runtime = Handle::try_current().ok().or_else(sessions);
            // The timer belongs to the runtime in which it is made.
            let _entered = runtime.as_ref().map(Handle::enter);
            timeout(limit, join_all(self.members.iter_mut().map(LateMember::publish)))
        };
        let _ = published.await;
        self.members.iter_mut().for_each(LateMember::give_up);
        self.members
    }
}

impl LateMember<'_> {
    async fn publish(&mut self) {
        let Self { socket, frames, delivery } = self;
        while let Some((frame, since)) = frames.front() {
            match socket.outbox().publish_later(frame, *since).await {
                Published::Dropped => delivery.refused += 1,
                Published::Refused => {
                    socket.leave_if_closed();
                    delivery.refused += 1;
                }
                Published::Deferred => {
                    socket.outbox().flush_deferred();
                    delivery.accepted += 1;
                }
                Published::Queued | Published::Busy(_) => delivery.accepted += 1,
            }
            frames.pop_front();
        }
    }

    /// Gives up the frames that are left: the session had no time for them.
    fn give_up(&mut self) {
        for (_, since) in self.frames.drain(..) {
            self.socket.outbox().give_up_publish(since);
            self.delivery.refused += 1;
        }
    }
}
