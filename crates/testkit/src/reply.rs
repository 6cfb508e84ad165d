//! An HTTP reply, read to its end.

use reqwest::header::HeaderMap;
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Reply {
    pub(crate) async fn read(response: reqwest::Response) -> Result<Self, reqwest::Error> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        Ok(Self { status, headers, text: response.text().await? })
    }

    /// # Panics
    /// When the body is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| {
            panic!("status {} with a body that is no JSON ({error}): {}", self.status, self.text)
        })
    }

    /// The body of a reply that must have this status.
    ///
    /// # Panics
    /// When it has another.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// `detail`, as errors have it on both wires.
    pub fn detail(&self) -> String {
        match &self.json()["detail"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// UTC milliseconds of a time as the wire writes it.
///
/// # Panics
/// When it is none.
pub fn at_ms(time: &Value) -> i64 {
    let text = time.as_str().expect("a time is a text");
    text.parse::<jiff::Timestamp>().expect("a time is RFC 3339").as_millisecond()
}
