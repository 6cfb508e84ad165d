//! What requests are made of: bodies, ids in paths, query parameters. Everything is bounded, and what is wrong is
//! named.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use piton_core::{CallId, RunId};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::problem::{FieldError, Kind, Problem};

/// Bytes of a request's body, where an endpoint does not say less.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes that are read and thrown away of a body that is too large, so that its sender gets to read the answer.
const DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A JSON body of the new wire, of at most so many bytes: unknown members are refused by name.
#[derive(Debug)]
pub(crate) struct JsonBody<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned, const BYTES_MAX: usize> FromRequest<S> for JsonBody<T, BYTES_MAX> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(
                Kind::UnsupportedMediaType,
                "Send JSON, with the header Content-Type: application/json",
            ));
        }
        let bytes = read(request.into_body(), BYTES_MAX).await?;
        parse(&bytes).map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(given) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Reads `T`, which is a struct, from JSON text.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // A struct would also be read from an array, member by member.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::invalid_field("body", "must be an object"),
            Err(error) => malformed(&error),
        });
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() {
            let field = if path == "." { "body".to_owned() } else { path };
            Problem::invalid_field(&field, without_place(&inner))
        } else {
            malformed(&inner)
        }
    })?;
    reader.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::MalformedJson, format!("The body is not JSON: {error}"))
}

/// serde_json's words without its `at line 1 column 17`, which says nothing to somebody who sent one line.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map_or(text.clone(), str::to_owned)
}

/// Reads a body of at most `bytes_max`.
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    tokio::time::timeout(BODY_TIMEOUT, collect(body, bytes_max)).await.unwrap_or_else(|_| {
        let seconds = BODY_TIMEOUT.as_secs();
        Err(Problem::new(Kind::BodyTooSlow, format!("The body did not arrive within {seconds} s")))
    })
}

async fn collect(body: Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut length = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| {
            tracing::debug!(%error, "a body ended early");
            Problem::new(Kind::MalformedJson, "The body ended early")
        })?;
        length = length.saturating_add(chunk.len());
        if length <= bytes_max {
            bytes.extend_from_slice(&chunk);
        } else {
            bytes = Vec::new();
        }
        if length > DRAIN_BYTES_MAX {
            break;
        }
    }
    if length > bytes_max {
        return Err(Problem::new(
            Kind::BodyTooLarge,
            format!("The body is larger than {bytes_max} bytes, which is the limit"),
        ));
    }
    Ok(bytes.into())
}

/// The run that a path names. A text that is no run id is a run that does not exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunPath(pub(crate) RunId);

impl<S: Send + Sync> FromRequestParts<S> for RunPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            return Err(Problem::new(Kind::RunNotFound, "A run id is a UUID"));
        };
        RunId::from_str(&text)
            .map(Self)
            .map_err(|error| Problem::new(Kind::RunNotFound, format!("There is no such run: {error}")))
    }
}

/// A call of a run that a path names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallPath(pub(crate) RunId, pub(crate) CallId);

impl<S: Send + Sync> FromRequestParts<S> for CallPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path((run, call))) = Path::<(String, String)>::from_request_parts(parts, state).await else {
            return Err(Problem::new(Kind::RunNotFound, "A run id is a UUID"));
        };
        let run = RunId::from_str(&run)
            .map_err(|error| Problem::new(Kind::RunNotFound, format!("There is no such run: {error}")))?;
        let call = CallId::from_str(&call).map_err(|_| {
            Problem::new(Kind::OutputNotFound, "There is no such call: a call's id is a UUID")
        })?;
        Ok(Self(run, call))
    }
}

/// An event of a run that a path names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventPath(pub(crate) RunId, pub(crate) u64);

impl<S: Send + Sync> FromRequestParts<S> for EventPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Ok(Path((run, event))) = Path::<(String, String)>::from_request_parts(parts, state).await else {
            return Err(Problem::new(Kind::RunNotFound, "A run id is a UUID"));
        };
        let run = RunId::from_str(&run)
            .map_err(|error| Problem::new(Kind::RunNotFound, format!("There is no such run: {error}")))?;
        let event = event
            .parse()
            .ok()
            .filter(|event| *event > 0)
            .ok_or_else(|| Problem::new(Kind::NotFound, "Events are numbered from 1"))?;
        Ok(Self(run, event))
    }
}

/// Query parameters, taken one by one; what is left over is refused by name.
#[derive(Debug)]
pub(crate) struct Params {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(given) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::invalid_field("query", error.body_text()))?;
        Ok(Self { given, known: Vec::new(), errors: Vec::new() })
    }
}

impl Params {
    /// Every value of a parameter that may be given several times.
    pub(crate) fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (mine, rest) = std::mem::take(&mut self.given).into_iter().partition(|(key, _)| key == name);
        self.given = rest;
        let mine: Vec<(String, String)> = mine;
        mine.into_iter().map(|(_, value)| value).collect()
    }

    /// A parameter that may be given once. An empty value is as good as none.
    pub(crate) fn one(&mut self, name: &'static str) -> Option<String> {
        let mut values = self.all(name);
        if values.len() > 1 {
            self.wrong(name, "is given more than once");
        }
        values.pop().filter(|value| !value.is_empty())
    }

    /// A whole number within `range`.
    pub(crate) fn number(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let text = self.one(name)?;
        match text.parse() {
            Ok(number) if range.contains(&number) => Some(number),
            _ => {
                let (least, most) = (range.start(), range.end());
                self.wrong(name, format!("{text:?} is not a whole number from {least} to {most}"));
                None
            }
        }
    }

    /// A value in its text form.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, name: &'static str) -> Option<T> {
        let text = self.one(name)?;
        text.parse().map_err(|error: T::Err| self.wrong(name, error.to_string())).ok()
    }

    pub(crate) fn wrong(&mut self, name: &str, problem: impl Into<String>) {
        self.errors.push(FieldError { field: name.to_owned(), problem: problem.into() });
    }

    /// # Errors
    /// All that was wrong, unknown parameters included.
    pub(crate) fn done(mut self) -> Result<(), Problem> {
        let known = self.known.join(", ");
        for (name, _) in std::mem::take(&mut self.given) {
            let name: String = name.chars().take(80).collect();
            self.wrong(&name, format!("is not a parameter here: known are {known}"));
        }
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(&self.errors)) }
    }
}

/// Gathers all that is wrong with a request, so that it is said at once.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<FieldError>);

impl Checks {
    pub(crate) fn require(&mut self, holds: bool, field: &str, problem: impl FnOnce() -> String) {
        if !holds {
            self.0.push(FieldError { field: field.to_owned(), problem: problem() });
        }
    }

    /// # Errors
    /// All that was wrong.
    pub(crate) fn done(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::invalid(&self.0)) }
    }
}
