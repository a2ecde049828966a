use std::sync::Arc;

use http::Extensions;

use crate::error::http_refusal;
use crate::extract::{Check, Keep, Need, PathType};
use crate::handler::{Kind, Route};
use crate::handshake::{Refusal, Request, RequestInfo, decode_params, is_utf8};

/// What the handlers of a router want to know of the request a connection began with.
#[derive(Debug, Default)]
pub(crate) struct RequestNeeds {
    /// The handler that asks for the path.
    path: Option<String>,
    /// What handlers take of it, behind their titles.
    paths: Vec<(String, PathType)>,
    query: bool,
    headers: bool,
    /// What handlers take of the request's extensions.
    keeps: Vec<Keep>,
    /// What connect handlers take has to be there before they run.
    checks: Vec<Check>,
}

impl RequestNeeds {
    pub(super) fn note(&mut self, route: &Route) {
        for need in route.needs().iter() {
            match need {
                Need::Path => self.path = self.path.take().or_else(|| Some(route.title())),
                Need::Query => self.query = true,
                Need::Headers => self.headers = true,
                _ => {}
            }
        }
        self.paths.extend(route.needs().paths().iter().map(|path| (route.title(), *path)));
        self.keeps.extend(route.needs().keeps());
        if route.kind() == &Kind::Connect {
            self.checks.extend(route.needs().checks());
        }
    }

    /// The title of a handler that takes parameters of the path.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Returns the handlers whose `Path` fits no path with this many parameters: the title, the type, and
    /// the number that the type takes.
    pub(crate) fn misfits(&self, params: usize) -> impl Iterator<Item = (&str, &str, usize)> {
        self.paths.iter().filter_map(move |(title, path)| {
            Some((&**title, path.name, (path.other_count)(params)?))
        })
    }

    /// Copies from a request what the handlers of the router take; `None` if they take nothing.
    ///
    /// # Errors
    ///
    /// 400 for a path or a query that is not UTF-8, and for what a connect handler could not take.
    pub(crate) fn read(
        &self,
        request: &Request<'_>,
        params: &[(&str, &str)],
    ) -> Result<Option<Arc<RequestInfo>>, Refusal> {
        if self.path.is_none() && !self.query && !self.headers && self.keeps.is_empty() {
            return Ok(None);
        }
        let info = RequestInfo {
            params: self.path.is_some().then(|| decode_params(params)).transpose()?,
            query: self.query.then(|| utf8_query(request)).transpose()?,
            headers: self.headers.then(|| request.header_map()).transpose()?.map(Arc::new),
            extensions: self.extensions(request),
        };
        for check in &self.checks {
            check(&info).map_err(|error| {
                Refusal::from_error(&error.status(http_refusal::BAD_REQUEST.status))
            })?;
        }
        Ok(Some(Arc::new(info)))
    }

    /// Takes what is request_needs for, so that the rest does not live as long as the connection.
    fn extensions(&self, request: &Request<'_>) -> Extensions {
        let mut kept = Extensions::new();
        if let Some(extensions) = request.extensions {
            for keep in &self.keeps {
                keep(extensions, &mut kept);
            }
        }
        kept
    }
}

fn utf8_query(request: &Request<'_>) -> Result<Box<str>, Refusal> {
    match is_utf8(request.query()) {
        true => Ok(request.query().into()),
        false => Err(Refusal::bad_request("the query is not percent-encoded UTF-8")),
    }
}
