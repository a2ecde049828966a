//! The parts of the upgrade request that handlers use.

use std::sync::Arc;

use http::Extensions;

use crate::error::http_refusal;
use crate::extract::{Check, Keep, Need, PathType};
use crate::handler::{Kind, Route};
use crate::handshake::{Refusal, Request, RequestInfo, decode_params, is_utf8};

/// The parts of the upgrade request that the handlers of a router use, collected at the build.
#[derive(Debug, Default)]
pub(crate) struct RequestNeeds {
    /// The title of a handler that uses path parameters.
    path: Option<String>,
    /// The types that handlers use for path parameters, with the titles of the handlers.
    paths: Vec<(String, PathType)>,
    query: bool,
    headers: bool,
    /// Functions that copy the request extensions that handlers use.
    keeps: Vec<Keep>,
    /// Checks whether connect handlers will be able to extract their arguments.
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

    /// Returns the title of a handler that uses path parameters.
    pub(crate) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Returns the handlers with a `Path` type that does not accept this number of parameters: the
    /// title, the type, and the number that the type accepts.
    pub(crate) fn mismatches(&self, params: usize) -> impl Iterator<Item = (&str, &str, usize)> {
        self.paths.iter().filter_map(move |(title, path)| {
            Some((&**title, path.name, (path.other_count)(params)?))
        })
    }

    /// Copies the parts of a request that the handlers use. Returns `None` if they use none.
    ///
    /// # Errors
    ///
    /// Status 400 if the path or the query is not UTF-8, or if a connect handler could not extract
    /// its arguments.
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

    /// Copies only the extensions in use, since the copy lives as long as the connection.
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
