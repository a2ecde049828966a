use std::sync::Arc;
use std::time::Duration;
use std::{mem, slice};

use super::app::Config;
use super::{App, Server};
use crate::error::Error;
use crate::handshake::{Origins, Subprotocols};
use crate::hub::{Hub, Namespace, ROOT, RoomCheck, Rules};
use crate::limits::Limits;
use crate::middleware::Layer;
use crate::router::{CompiledRouter, Router, build, check_state, namespace};
use crate::shutdown::Owner;
use crate::state::StateMap;

/// How long a stop may take unless `Server::shutdown_timeout` says otherwise.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Both methods that give a server its origins.
const ORIGINS: &str = "Server::allow_origins` or `Server::allow_any_origin";

/// What a server says at most once.
struct Settings {
    limits: Arc<Limits>,
    origins: Origins,
    subprotocols: Subprotocols,
    room_check: Option<RoomCheck>,
    shutdown_timeout: Duration,
    #[cfg(feature = "axum")]
    http: Option<axum::Router>,
}

/// What the routers of a server are compiled with.
struct Compiler<'a> {
    hub: Hub,
    layers: Vec<Layer>,
    state: StateMap,
    settings: &'a Settings,
}

impl Server {
    /// Checks everything that was registered, without running it.
    ///
    /// # Errors
    ///
    /// One error that lists every mistake, with the names and places of the handlers.
    pub fn build(mut self) -> Result<App, Error> {
        let mut mistakes = Vec::new();
        let settings = self.settings(&mut mistakes);
        check_state(&self.state, "the server", &mut mistakes);
        if self.root.is_none() && self.paths.is_empty() {
            mistakes.push("the server has no router".to_owned());
        }
        let names = names(self.root.as_ref(), &self.paths, &mut mistakes);
        let of_root = names.len() - self.paths.len();
        let limits = Arc::clone(&settings.limits);
        let check = settings.room_check.clone();
        let hub = self.owner.handle().hub();
        let Ok(namespaces) = hub.open(&names, Rules { limits, check, needs_room: self.needs_room })
        else {
            mistakes
                .push("the connections of this server belong to another one already".to_owned());
            return Err(Error::registration(mistakes));
        };
        let (of_root, of_paths) = namespaces.split_at(of_root);
        self.state.insert(self.owner.handle().clone());
        let (layers, state, settings) = (self.layers, self.state, &settings);
        let mut compiler = Compiler { hub, layers, state, settings };
        let mut compile = |router, namespace| compiler.compile(router, namespace, &mut mistakes);
        let root = self.root.zip(of_root.first());
        let root = root.map(|(router, namespace)| compile(router.hoisted(), namespace));
        let paths = self.paths.into_iter().zip(of_paths);
        let paths = paths.map(|((path, router), namespace)| (path, compile(router, namespace)));
        let paths = paths.collect();
        let app = App::new(settings.config(self.owner, root, paths), &mut mistakes);
        match mistakes.is_empty() {
            true => Ok(app),
            false => Err(Error::registration(mistakes)),
        }
    }

    fn settings(&mut self, mistakes: &mut Vec<String>) -> Settings {
        let limits = mem::take(&mut self.limits).take("Server::limits", mistakes);
        let origins = mem::take(&mut self.origins).take(ORIGINS, mistakes);
        let subprotocols = mem::take(&mut self.subprotocols).take("Server::subprotocols", mistakes);
        let timeout = mem::take(&mut self.shutdown_timeout);
        let timeout = timeout.take("Server::shutdown_timeout", mistakes);
        let settings = Settings {
            limits: Arc::new(limits.unwrap_or_default()),
            origins: origins.unwrap_or_default(),
            subprotocols: subprotocols.unwrap_or_default(),
            room_check: mem::take(&mut self.room_check).take("Server::check_rooms", mistakes),
            shutdown_timeout: timeout.unwrap_or(SHUTDOWN_TIMEOUT),
            #[cfg(feature = "axum")]
            http: mem::take(&mut self.http).take("Server::http", mistakes),
        };
        mistakes.extend(settings.limits.mistakes());
        mistakes.extend(settings.origins.mistakes());
        mistakes.extend(settings.subprotocols.mistakes());
        settings
    }
}

impl Settings {
    fn config(
        &self,
        owner: Owner,
        root: Option<CompiledRouter>,
        paths: Vec<(String, CompiledRouter)>,
    ) -> Config {
        Config {
            root,
            paths,
            limits: Arc::clone(&self.limits),
            origins: self.origins.clone(),
            owner,
            shutdown_timeout: self.shutdown_timeout,
            #[cfg(feature = "axum")]
            http: self.http.clone(),
        }
    }
}

impl Compiler<'_> {
    fn compile(
        &mut self,
        mut router: Router,
        namespace: &Arc<Namespace>,
        mistakes: &mut Vec<String>,
    ) -> CompiledRouter {
        let rules = router.take_rules(mistakes);
        self.state.replace(self.hub.of(namespace));
        let router = router.inside(&self.layers);
        let mut compiled = build(router, Arc::clone(namespace), &self.state, mistakes);
        rules.apply(&mut compiled, &self.settings.limits, &self.settings.subprotocols);
        compiled
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
