//! A client of one server: what a browser, a script or a peer would send. Cheap to clone, so that many may call at
//! once while somebody else kills and starts the processes.

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::reply::Reply;
use crate::until::{deadline, until};

#[derive(Debug, Clone)]
pub struct Caller {
    http: Client,
    base: String,
    api_key: Option<String>,
}

impl Caller {
    pub(crate) const fn new(http: Client, base: String, api_key: Option<String>) -> Self {
        Self { http, base, api_key }
    }

    /// A caller of another server, at `base`, such as `http://127.0.0.1:3001`.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.api_key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// # Errors
    /// When there is no whole reply: the server is down, or was killed meanwhile.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Reply, reqwest::Error> {
        Reply::read(request.send().await?).await
    }

    /// The body of a reply with status 200; `None` when there is no such reply.
    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let reply = self.try_send(self.request(Method::GET, path)).await.ok()?;
        (reply.status == 200).then(|| reply.json())
    }

    /// `None` when there is no whole reply.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Reply> {
        self.try_send(self.request(Method::POST, path).json(body)).await.ok()
    }

    /// Launches under an idempotency key of the run's own; the run's id. `None` while the server is down or takes no
    /// launches: tried again, it is the same run.
    ///
    /// # Panics
    /// When the launch is refused for good.
    pub async fn try_launch(&self, key: &str, task: &str, agent: &str) -> Option<String> {
        let body = json!({ "task": task, "agent": agent });
        let request = self.request(Method::POST, "/v1/runs").header("Idempotency-Key", key);
        let reply = self.try_send(request.json(&body)).await.ok()?;
        if matches!(reply.status, 429 | 503) {
            return None;
        }
        Some(reply.expect(201)["id"].as_str().expect("a run has an id").to_owned())
    }

    /// All runs in one of these statuses, separated by commas, newest first; `None` while the server is down.
    pub async fn try_runs(&self, statuses: &str) -> Option<Vec<Value>> {
        let mut runs = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/runs?status={statuses}&limit=200&cursor={cursor}");
            let page = self.try_get(&path).await?;
            runs.extend(page["runs"].as_array()?.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => next.clone_into(&mut cursor),
                None => return Some(runs),
            }
        }
    }

    /// Waits until the run does not go on by itself any more; the run as it is then.
    ///
    /// # Panics
    /// When it goes on all the same, or the server does not answer.
    pub async fn at_rest(&self, run: &str) -> Value {
        let path = format!("/v1/runs/{run}?wait_ms=20000");
        let rests = until(deadline() * 4, format!("run {run} comes to rest"), async || {
            let run = self.try_get(&path).await.expect("the server answers");
            (run["status"] != "running").then_some(run)
        });
        rests.await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// How long it is from now until a run that is launched now is complete. `key` is new each time.
    ///
    /// # Errors
    /// When it is not within `limit`.
    pub async fn sees_through(
        &self,
        key: &str,
        task: &str,
        agent: &str,
        limit: Duration,
    ) -> Result<Duration, String> {
        let began = Instant::now();
        let over = async || {
            let id = self.try_launch(key, task, agent).await?;
            let run = self.try_get(&format!("/v1/runs/{id}")).await?;
            (run["status"] == "complete").then_some(())
        };
        until(limit, format!("{key} is launched and over"), over).await?;
        Ok(began.elapsed())
    }

    /// All events of a run, in order; `None` while the server is down.
    pub async fn try_events(&self, run: &str) -> Option<Vec<Value>> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let page = self.try_get(&format!("/v1/runs/{run}/events?after={after}&limit=1000")).await?;
            events.extend(page["events"].as_array()?.iter().cloned());
            match page["next_after"].as_u64() {
                Some(next) => after = next,
                None => return Some(events),
            }
        }
    }
}
