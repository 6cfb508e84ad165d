//! Bodies of the original wire, and how it says that one is not valid. Lenient where it was: the content type does
//! not matter, and members it does not know are passed over.

use axum::extract::{FromRequest, Request};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::problem::{Kind, Problem};
use crate::request::{self, BODY_BYTES_MAX};

/// One thing that is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Invalid {
    r#type: &'static str,
    /// `body`, then the member, or the byte at which the JSON ends to be JSON.
    loc: Vec<Place>,
    msg: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
enum Place {
    Member(String),
    Byte(usize),
}

/// The members of a body, taken one by one.
#[derive(Debug)]
pub(crate) struct Members {
    given: Map<String, Value>,
    errors: Vec<Invalid>,
}

impl<S: Send + Sync> FromRequest<S> for Members {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = request::read(request.into_body(), BODY_BYTES_MAX).await?;
        Self::parse(&bytes)
    }
}

impl Members {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        if bytes.is_empty() {
            return Err(invalid(&[Invalid::new("missing", None, "Field required")]));
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(given)) => Ok(Self { given, errors: Vec::new() }),
            Ok(_) => Err(invalid(&[Invalid::new(
                "model_attributes_type",
                None,
                "Input should be a valid dictionary or object to extract fields from",
            )])),
            Err(error) => {
                let at = offset(bytes, &error);
                let msg = format!("JSON decode error: {error}");
                Err(invalid(&[Invalid::new("json_invalid", Some(Place::Byte(at)), msg)]))
            }
        }
    }

    /// A text that has to be there; what is returned for one that is not, [`Members::done`] refuses.
    pub(crate) fn text(&mut self, name: &str) -> String {
        match self.given.remove(name) {
            Some(Value::String(text)) => text,
            Some(_) => {
                self.wrong(name, "string_type", "Input should be a valid string");
                String::new()
            }
            None => {
                self.wrong(name, "missing", "Field required");
                String::new()
            }
        }
    }

    /// A text that may be missing or null.
    pub(crate) fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.given.get(name) {
            None | Some(Value::Null) => None,
            Some(_) => Some(self.text(name)),
        }
    }

    /// A text of at most so many characters.
    pub(crate) fn bounded_text(&mut self, name: &str, chars_max: usize) -> String {
        let text = self.text(name);
        if text.chars().nth(chars_max).is_some() {
            self.wrong(name, "string_too_long", format!("String should have at most {chars_max} characters"));
        }
        text
    }

    pub(crate) fn wrong(&mut self, name: &str, kind: &'static str, msg: impl Into<String>) {
        self.errors.push(Invalid::new(kind, Some(Place::Member(name.to_owned())), msg));
    }

    /// # Errors
    /// All that was wrong, as the original says it.
    pub(crate) fn done(&self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(invalid(&self.errors)) }
    }
}

impl Invalid {
    fn new(kind: &'static str, member: Option<Place>, msg: impl Into<String>) -> Self {
        let loc = [Place::Member("body".to_owned())].into_iter().chain(member).collect();
        Self { r#type: kind, loc, msg: msg.into() }
    }
}

fn invalid(errors: &[Invalid]) -> Problem {
    Problem::new(Kind::InvalidRequest, json!(errors))
}

/// The byte that a JSON error is about.
fn offset(bytes: &[u8], error: &serde_json::Error) -> usize {
    let before = bytes.split_inclusive(|byte| *byte == b'\n').take(error.line().saturating_sub(1));
    before.map(<[u8]>::len).sum::<usize>() + error.column().saturating_sub(1)
}
