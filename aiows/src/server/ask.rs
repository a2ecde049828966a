//! What the application is asked about a request that the server itself would accept.

use std::mem;
use std::net::SocketAddr;

use tokio::time::timeout;

use super::App;
use super::door::{RETRY_AFTER, stopping};
use super::panics::{self, caught_future};
use crate::error::{HandlerError, Result};
use crate::hub::Candidate;
use crate::middleware::Asked;
use crate::router::Frozen;
use crate::session::{Newcomer, Setting};
use crate::transport::{Refusal, Request, decode_params};

/// What is left to be asked; nothing for most servers.
pub(super) struct Questions {
    /// For the middleware.
    asked: Option<Asked>,
    /// The room that is to be joined.
    room: Option<Box<str>>,
}

impl Questions {
    /// # Errors
    ///
    /// 400 for a request whose path or headers cannot be read.
    pub(super) fn of(
        router: &Frozen,
        request: &Request<'_>,
        params: &[(&str, &str)],
        peer_addr: Option<SocketAddr>,
    ) -> Result<Option<Self>, Refusal> {
        let asks = !router.handshake.is_empty();
        let asked = asks.then(|| Asked::read(request, params, peer_addr)).transpose()?;
        let room = match &router.room {
            Some(parameter) => {
                let params = decode_params(params)?;
                params.into_iter().find(|(name, _)| name == parameter).map(|(_, room)| room.into())
            }
            None => None,
        };
        let is_any = asked.is_some() || room.is_some();
        Ok(is_any.then_some(Self { asked, room }))
    }

    /// Asks everybody, within the time of a handshake.
    ///
    /// # Errors
    ///
    /// The first refusal; 503 when the time is up or the server stops.
    pub(super) async fn ask(
        self: Box<Self>,
        newcomer: &mut Newcomer,
        setting: &Setting,
        app: &App,
    ) -> Result<(), Refusal> {
        let asking = caught_future(self.ask_all(newcomer, setting));
        let asking = timeout(app.limits().handshake_timeout, asking);
        let answer = tokio::select! {
            biased;
            answer = asking => answer,
            _ = app.handle().lifecycle().stopping() => return Err(stopping()),
        };
        match answer {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(error)) | Err(error)) => Err(panics::refusal(&error)),
            Err(_) => {
                tracing::error!("the application took too long for a handshake");
                Err(Refusal::unavailable("the server took too long", RETRY_AFTER))
            }
        }
    }

    async fn ask_all(
        self: Box<Self>,
        newcomer: &mut Newcomer,
        setting: &Setting,
    ) -> Result<(), HandlerError> {
        let Self { asked, room } = *self;
        let Newcomer::Peer(peer) = newcomer else { return Ok(()) };
        if let Some(asked) = asked {
            peer.context = setting.router.handshake.ask(asked).await?;
        }
        if let Some(room) = room {
            let socket = setting.socket(mem::take(peer));
            // The check may log in, join, and keep the handle.
            let candidate = Candidate::new(&setting.hub, socket.clone());
            setting.hub.allow(&room, &socket).await?;
            *newcomer = Newcomer::Candidate { candidate, room };
        }
        Ok(())
    }
}
