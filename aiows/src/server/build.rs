//! Checks the registration of a server and compiles its routers.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::app::Inner;
use super::outage::Outage;
use super::{App, Server};
use crate::admission::{AdmissionControl, AdmissionRules, Paths};
use crate::error::{Error, Mistakes};
use crate::handshake::{Origins, Subprotocols};
use crate::hub::{Hub, Namespace, ROOT, RoomCheck, Rules};
use crate::limits::Limits;
use crate::middleware::Layer;
use crate::router::{CompiledRouter, Router, build, check_state, namespace};
use crate::state::StateMap;

/// The time that a stop may take unless `Server::shutdown_timeout` sets another.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// The methods that set the origins of a server.
const ORIGINS: &str = "Server::allow_origins` or `Server::allow_any_origin";

/// The settings that a server has at most once.
struct Settings {
    limits: Arc<Limits>,
    origins: Origins,
    subprotocols: Subprotocols,
    room_check: Option<RoomCheck>,
    shutdown_timeout: Duration,
    #[cfg(feature = "axum")]
    http: Option<axum::Router>,
}

/// Compiles the routers of a server.
struct Compiler<'a> {
    hub: Hub,
    layers: Vec<Layer>,
    state: StateMap,
    settings: &'a Settings,
}

impl Server {
    /// Checks the whole registration, without running the server.
    ///
    /// # Errors
    ///
    /// [`Error::is_registration`] if there are mistakes. The error lists all of them
    /// ([`Error::mistakes`]), with the names and places of the handlers.
    pub fn build(mut self) -> Result<App, Error> {
        let mut mistakes = Mistakes::default();
        let settings = self.settings(&mut mistakes);
        check_state(&self.state, "the server", &mut mistakes);
        if self.root.is_none() && self.paths.is_empty() {
            mistakes.add("the server has no router");
        }
        let names = names(self.root.as_ref(), &self.paths, &mut mistakes);
        let of_root = names.len() - self.paths.len();
        let limits = Arc::clone(&settings.limits);
        let check = settings.room_check.clone();
        let hub = self.owner.handle().hub();
        let Ok(namespaces) = hub.open(&names, Rules { limits, check, needs_room: self.needs_room })
        else {
            mistakes.add("the connections of this server belong to another one already");
            return Err(mistakes.into_error());
        };
        let (of_root, of_paths) = namespaces.split_at(of_root);
        self.state.insert(self.owner.handle().clone());
        let (layers, state) = (self.layers, self.state);
        let mut compiler = Compiler { hub, layers, state, settings: &settings };
        let mut compile = |router, namespace| compiler.compile(router, namespace, &mut mistakes);
        let root = self.root.zip(of_root.first());
        let root = root.map(|(router, namespace)| compile(router.hoisted(), namespace));
        let paths = self.paths.into_iter().zip(of_paths);
        let paths = paths.map(|((path, router), namespace)| (path, compile(router, namespace)));
        let paths = paths.collect();
        let rules = AdmissionRules {
            paths: Paths::new(root, paths, &mut mistakes),
            limits: settings.limits,
            origins: settings.origins,
            #[cfg(feature = "axum")]
            has_http: settings.http.is_some(),
        };
        let admission = AdmissionControl::new(rules, self.owner.handle().clone());
        let inner = Inner {
            admission,
            owner: self.owner,
            outage: Outage::default(),
            shutdown_timeout: settings.shutdown_timeout,
            #[cfg(feature = "axum")]
            http: settings.http,
        };
        mistakes.or_ok(App { inner: Arc::new(inner) })
    }

    fn settings(&mut self, mistakes: &mut Mistakes) -> Settings {
        let limits = self.limits.take("Server::limits", mistakes);
        let origins = self.origins.take(ORIGINS, mistakes);
        let subprotocols = self.subprotocols.take("Server::subprotocols", mistakes);
        let timeout = self.shutdown_timeout.take("Server::shutdown_timeout", mistakes);
        let settings = Settings {
            limits: Arc::new(limits.unwrap_or_default()),
            origins: origins.unwrap_or_default(),
            subprotocols: subprotocols.unwrap_or_default(),
            room_check: self.room_check.take("Server::check_rooms", mistakes),
            shutdown_timeout: timeout.unwrap_or(SHUTDOWN_TIMEOUT),
            #[cfg(feature = "axum")]
            http: self.http.take("Server::http", mistakes),
        };
        mistakes.extend(settings.limits.mistakes());
        mistakes.extend(settings.origins.mistakes());
        mistakes.extend(settings.subprotocols.mistakes());
        settings
    }
}

impl Compiler<'_> {
    fn compile(
        &mut self,
        mut router: Router,
        namespace: &Arc<Namespace>,
        mistakes: &mut Mistakes,
    ) -> CompiledRouter {
        let rules = router.take_rules(mistakes);
        self.state.replace(self.hub.of(namespace));
        let router = router.inside(&self.layers);
        let mut compiled = build(router, Arc::clone(namespace), &self.state, mistakes);
        rules.apply(&mut compiled, &self.settings.limits, &self.settings.subprotocols);
        compiled
    }
}

/// Returns the names of the namespaces: the one of `root` first, then those of `paths`.
fn names<'a>(
    root: Option<&'a Router>,
    paths: &'a [(String, Router)],
    mistakes: &mut Mistakes,
) -> Vec<&'a str> {
    let root = root.map(|root| namespace(root.included(), mistakes).unwrap_or(ROOT));
    let path = |(path, router)| namespace(slice::from_ref(router), mistakes).unwrap_or(path);
    root.into_iter()
        .chain(paths.iter().map(|(path, router)| (path.as_str(), router)).map(path))
        .collect()
}
