use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::app::Config;
use super::{App, Server};
use crate::error::Error;
use crate::hub::{Namespace, ROOT, Rules};
use crate::router::{Router, build, check_state, namespace};

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
        let limits = Arc::new(limits);
        let rules = Rules { limits: Arc::clone(&limits), check, needs_room: self.needs_room };
        let hub = self.owner.handle().hub();
        let names = names(self.root.as_ref(), &self.paths, &mut mistakes);
        let Ok(namespaces) = hub.open(&names, rules) else {
            mistakes
                .push("the connections of this server belong to another one already".to_owned());
            return Err(Error::registration(mistakes));
        };
        let (of_root, of_paths) = namespaces.split_at(names.len() - self.paths.len());
        let (layers, mut state) = (self.layers, self.state);
        state.insert(self.owner.handle().clone());
        let mut freeze = |mut router: Router, namespace: &Arc<Namespace>| {
            let rules = router.take_rules(&mut mistakes);
            state.replace(hub.of(namespace));
            let namespace = Arc::clone(namespace);
            let mut frozen = build(router.inside(&layers), namespace, &state, &mut mistakes);
            rules.apply(&mut frozen, &limits, &subprotocols);
            frozen
        };
        let root = self.root.zip(of_root.first());
        let root = root.map(|(router, namespace)| freeze(router.hoisted(), namespace));
        let paths = self.paths.into_iter().zip(of_paths);
        let paths = paths.map(|((path, router), namespace)| (path, freeze(router, namespace)));
        let paths = paths.collect();
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

/// The names of the namespaces: that of `root` first, then those of `paths`.
fn names<'a>(
    root: Option<&'a Router>,
    paths: &'a [(String, Router)],
    mistakes: &mut Vec<String>,
) -> Vec<&'a str> {
    let root = root.map(|root| namespace(root.included(), mistakes).unwrap_or(ROOT));
    let path = |(path, router)| namespace(slice::from_ref(router), mistakes).unwrap_or(path);
    root.into_iter()
        .chain(paths.iter().map(|(path, router)| (path.as_str(), router)).map(path))
        .collect()
}
