//! How commands reach runs: over HTTP, whether the server is elsewhere or made for the occasion in this process.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, RequestBuilder, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::open::{self, Database};
use crate::serve;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// One Piton, by its API.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    key: Option<SecretString>,
    /// The database, where the API is in this process.
    pub(crate) database: Option<Database>,
    /// Ends what this process serves.
    pub(crate) stop: CancellationToken,
}

/// A refusal in the API's own words.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Refused {
    pub(crate) status: u16,
    /// The problem's slug, such as `still-acting`; empty where there is none.
    pub(crate) slug: String,
    pub(crate) detail: String,
}

/// What commands read of a run.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Shown {
    pub(crate) id: String,
    pub(crate) status: piton_core::Status,
    pub(crate) task: String,
    pub(crate) agent: Named,
    pub(crate) steps: u32,
    pub(crate) max_steps: u32,
    pub(crate) error: Option<String>,
    pub(crate) final_answer: Option<String>,
    pub(crate) question: Option<Question>,
    pub(crate) owner: Option<String>,
    pub(crate) epoch: u64,
    /// Whether it is paused again after the decision it waits for, or after its release.
    pub(crate) was_paused: bool,
    pub(crate) created_at: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Named {
    pub(crate) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Question {
    pub(crate) id: String,
    /// `question` or `unknown_outcome`.
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) call: Option<Call>,
    pub(crate) started: Option<Started>,
    /// The worker that may yet make the call.
    pub(crate) still_acting: Option<String>,
}

/// Who began a call, and when.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Started {
    pub(crate) worker: String,
    pub(crate) epoch: u64,
    pub(crate) attempt: u32,
    pub(crate) at: String,
}

/// An attempt that ended with its worker.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LostAttempt {
    pub(crate) worker: String,
    pub(crate) epoch: u64,
    pub(crate) attempt: u32,
    /// The run's last event then.
    pub(crate) version: u64,
    pub(crate) at: String,
    pub(crate) how: String,
    pub(crate) blamed: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Call {
    /// Its idempotency key.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
}

impl Client {
    /// A client of `server`, or of an API over the configured database.
    pub(crate) async fn at(server: Option<&str>, loaded: &Loaded) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let http =
            reqwest::Client::builder().connect_timeout(CONNECT_LIMIT).no_proxy().tcp_nodelay(true).build()?;
        let Some(server) = server else {
            let database = open::database(loaded).await?;
            let (listen, key) = serve::privately(loaded, database.store(), stop.clone()).await?;
            let base = Url::parse(&format!("http://{listen}"))?;
            return Ok(Self { http, base, key: Some(key), database: Some(database), stop });
        };
        let base = Url::parse(server)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .with_context(|| {
                format!("--server {server}: expected an address such as http://127.0.0.1:3000")
            })?;
        Ok(Self { http, base, key: loaded.config.server.api_key.clone(), database: None, stop })
    }

    /// The address as it is shown.
    pub(crate) fn name(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> anyhow::Result<RequestBuilder> {
        let request = self.http.request(method, self.base.join(path)?);
        Ok(match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        })
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.asked(self.request(Method::GET, path)?).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.asked(self.request(Method::POST, path)?.json(body)).await
    }

    pub(crate) async fn asked(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = self.answered(request).await?;
        Ok(response.json().await?)
    }

    /// The response, if it is a success.
    pub(crate) async fn answered(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.with_context(|| format!("no answer from {}", self.name()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let detail = ["detail", "title"].iter().find_map(|member| problem[member].as_str());
        let detail = detail.map_or_else(|| format!("{} answered {status}", self.name()), str::to_owned);
        let slug = problem["type"].as_str().and_then(|kind| kind.rsplit(':').next()).unwrap_or_default();
        bail!(Refused { status: status.as_u16(), slug: slug.to_owned(), detail })
    }
}

/// A run's id in a path: text that is no id names no other path.
pub(crate) fn run_path(id: &str) -> anyhow::Result<String> {
    let id: piton_core::RunId = id.parse().map_err(|error: piton_core::InvalidId| Refused {
        status: 404,
        slug: "run-not-found".to_owned(),
        detail: error.to_string(),
    })?;
    Ok(format!("/v1/runs/{id}"))
}
