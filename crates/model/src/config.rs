//! Where the model is and how it is asked, checked once so that no ask can fail on it.

use async_openai::config::Config;
use async_openai::types::responses::ReasoningEffort;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

/// Which of OpenAI's APIs is spoken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Api {
    /// Responses, unless the endpoint turns out to have none; then Chat Completions.
    #[default]
    Auto,
    Responses,
    Chat,
}

/// A model's endpoint and the limits of asking it.
#[derive(Debug, Clone)]
pub struct ModelConfig {
    pub api: Api,
    /// Up to and with the version, such as `https://api.openai.com/v1`.
    pub base_url: String,
    pub api_key: Option<SecretString>,
    /// The limit of one try, from connecting to the last byte of the reply.
    pub timeout_ms: u64,
    /// Tries that may fail for reasons that pass, the first one included.
    pub tries_max: u32,
    /// One of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`. Without it the Responses API is asked for
    /// `low` and Chat Completions for nothing.
    pub reasoning_effort: Option<String>,
    pub max_output_tokens: Option<u32>,
}

/// What is wrong with a [`ModelConfig`]. Fit to be shown: it never holds the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelConfigError {
    #[error("base_url: expected an http or https address such as https://api.openai.com/v1, {why}")]
    BaseUrl { why: String },
    #[error("api_key: it holds a character that cannot be sent in a header, such as a line break")]
    ApiKey,
    #[error("timeout_ms: expected at least 1")]
    Timeout,
    #[error("tries_max: expected at least 1")]
    Tries,
    #[error("reasoning_effort: expected none, minimal, low, medium, high, xhigh or max, found {found:?}")]
    ReasoningEffort { found: String },
    #[error("no HTTP client could be made: {why}")]
    Http { why: String },
}

/// The effort as async-openai spells it.
pub(crate) fn effort(text: Option<&str>) -> Result<Option<ReasoningEffort>, ModelConfigError> {
    let Some(text) = text else { return Ok(None) };
    let effort = serde_json::from_value(text.to_ascii_lowercase().into());
    effort.map(Some).map_err(|_| ModelConfigError::ReasoningEffort { found: text.chars().take(40).collect() })
}

/// A checked address with its headers made ready: what async-openai asks for at each call.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    base: String,
    is_loopback: bool,
    headers: HeaderMap,
    api_key: SecretString,
}

impl Endpoint {
    pub(crate) fn new(config: &ModelConfig) -> Result<Self, ModelConfigError> {
        let (base, is_loopback) =
            checked_base(&config.base_url).map_err(|why| ModelConfigError::BaseUrl { why })?;
        let api_key = config.api_key.clone().unwrap_or_default();
        let mut headers = HeaderMap::new();
        if !api_key.expose_secret().is_empty() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", api_key.expose_secret()))
                .map_err(|_| ModelConfigError::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { base, is_loopback, headers, api_key })
    }

    /// Whether the endpoint is on this machine, where no proxy belongs in between.
    pub(crate) fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// `text` without the key, wherever a server put it.
    pub(crate) fn redact(&self, text: &str) -> String {
        let key = self.api_key.expose_secret();
        // Such as the `x` or `-` that local servers are given: no secret, and a letter that words are made of.
        if key.len() < 4 { text.to_owned() } else { text.replace(key, "[API key]") }
    }
}

impl Config for Endpoint {
    fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        Vec::new()
    }

    fn api_base(&self) -> &str {
        &self.base
    }

    fn api_key(&self) -> &SecretString {
        &self.api_key
    }
}

/// The address without a slash at its end, and whether it is on this machine. The error never repeats the address,
/// which may hold a password.
fn checked_base(text: &str) -> Result<(String, bool), String> {
    let url = Url::parse(text.trim()).map_err(|error| format!("found something else ({error})"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("found one that begins with {}:", url.scheme()));
    }
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else {
        return Err("found one without a host".to_owned());
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("found one with a user name or password in it: use api_key".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("found one with a query or fragment behind it".to_owned());
    }
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    Ok((url.as_str().trim_end_matches('/').to_owned(), is_loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(base_url: &str) -> ModelConfig {
        ModelConfig {
            api: Api::Auto,
            base_url: base_url.to_owned(),
            api_key: None,
            timeout_ms: 1000,
            tries_max: 1,
            reasoning_effort: None,
            max_output_tokens: None,
        }
    }

    #[test]
    fn base_urls_are_checked_and_joined() {
        for (base, url) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1/responses"),
            (" http://127.0.0.1:9/v1// ", "http://127.0.0.1:9/v1/responses"),
            ("http://localhost:8080", "http://localhost:8080/responses"),
        ] {
            assert_eq!(Endpoint::new(&config(base)).unwrap().url("/responses"), url);
        }
        for base in
            ["", "api.openai.com/v1", "ftp://host/v1", "file:///v1", "http://a/v1?key=k", "http://a/#b"]
        {
            assert!(matches!(Endpoint::new(&config(base)), Err(ModelConfigError::BaseUrl { .. })), "{base}");
        }
    }

    #[test]
    fn loopback_is_told_from_elsewhere() {
        for (base, is_loopback) in [
            ("http://127.0.0.1:1/v1", true),
            ("http://[::1]:1/v1", true),
            ("http://localhost/v1", true),
            ("http://10.0.0.1/v1", false),
            ("https://localhost.example/v1", false),
        ] {
            assert_eq!(Endpoint::new(&config(base)).unwrap().is_loopback(), is_loopback, "{base}");
        }
    }

    #[test]
    fn no_secret_is_in_an_error_or_in_debug() {
        let error = Endpoint::new(&config("https://me:hunter22@host/v1")).unwrap_err().to_string();
        assert!(!error.contains("hunter22"), "{error}");
        let keyed = ModelConfig { api_key: Some("hunter22".into()), ..config("https://host/v1") };
        let endpoint = Endpoint::new(&keyed).unwrap();
        assert!(!format!("{keyed:?} {endpoint:?}").contains("hunter22"));
        assert_eq!(endpoint.redact("Bearer hunter22!"), "Bearer [API key]!");
        let broken = ModelConfig { api_key: Some("hunter22\n".into()), ..config("https://host/v1") };
        assert_eq!(Endpoint::new(&broken).unwrap_err(), ModelConfigError::ApiKey);
    }

    #[test]
    fn efforts_are_checked() {
        assert_eq!(effort(Some("High")), Ok(Some(ReasoningEffort::High)));
        assert!(effort(Some("lots")).is_err());
    }
}
