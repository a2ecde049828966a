use std::sync::Arc;
use std::time::Duration;

use super::app::Config;
use super::{App, Server};
use crate::error::Error;
use crate::hub::Rules;
use crate::router::{Router, build, check_state};

/// How long a stop may take unless `Server::shutdown_timeout` says otherwise.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Both methods that give a server its origins.
const ORIGINS: &str = "Server::allow_origins` or `Server::allow_any_origin";

impl Server {
    /// Checks everything that was registered, without running it.
    ///
    /// # Errors
    ///
    /// One error that lists every mistake, with the names and places of the handlers.
    pub fn build(self) -> Result<App, Error> {
        let mut mistakes = Vec::new();
        let limits = self.limits.take("Server::limits", &mut mistakes).unwrap_or_default();
        let origins = self.origins.take(ORIGINS, &mut mistakes).unwrap_or_default();
        let subprotocols = self.subprotocols.take("Server::subprotocols", &mut mistakes);
        let subprotocols = subprotocols.unwrap_or_default();
        let check = self.room_check.take("Server::check_rooms", &mut mistakes);
        let shutdown_timeout =
            self.shutdown_timeout.take("Server::shutdown_timeout", &mut mistakes);
        #[cfg(feature = "axum")]
        let http = self.http.take("Server::http", &mut mistakes);
        mistakes.extend(limits.mistakes());
        mistakes.extend(origins.mistakes());
        mistakes.extend(subprotocols.mistakes());
        check_state(&self.state, "the server", &mut mistakes);
        if self.root.is_none() && self.paths.is_empty() {
            mistakes.push("the server has no router".to_owned());
        }
        let mut state = self.state;
        let handle = self.owner.handle().clone();
        state.insert(handle.clone());
        state.insert(handle.hub());
        let limits = Arc::new(limits);
        let rules = Rules { limits: Arc::clone(&limits), check, needs_room: self.needs_room };
        if handle.hub().set_rules(rules).is_err() {
            mistakes
                .push("the connections of this server belong to another one already".to_owned());
        }
        let layers = self.layers;
        let mut freeze = |mut router: Router| {
            let rules = router.take_rules(&mut mistakes);
            let mut frozen = build(router.inside(&layers), &state, &mut mistakes);
            rules.apply(&mut frozen, &limits, &subprotocols);
            frozen
        };
        let root = self.root.map(|root| freeze(root.hoisted()));
        let paths = self.paths.into_iter().map(|(path, router)| (path, freeze(router))).collect();
        let config = Config {
            root,
            paths,
            limits,
            origins,
            owner: self.owner,
            shutdown_timeout: shutdown_timeout.unwrap_or(SHUTDOWN_TIMEOUT),
            #[cfg(feature = "axum")]
            http,
        };
        let app = App::new(config, &mut mistakes);
        match mistakes.is_empty() {
            true => Ok(app),
            false => Err(Error::registration(mistakes)),
        }
    }
}
