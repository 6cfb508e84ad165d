//! What a test asks of the world's server over HTTP, on the new wire and on the original one.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use super::World;
use crate::caller::Caller;
use crate::reply::Reply;
use crate::until::{deadline, until};

impl World {
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port.number)
    }

    /// A client of the server, whichever process that is by then.
    pub fn caller(&self) -> Caller {
        Caller::new(self.http.clone(), self.url(""), self.api_key.clone())
    }

    pub const fn http(&self) -> &Client {
        &self.http
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
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

    /// # Panics
    /// When there is no whole reply.
    pub async fn send(&self, request: RequestBuilder) -> Reply {
        self.try_send(request).await.expect("the server replies")
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// A POST without a body.
    pub async fn poke(&self, path: &str) -> Reply {
        self.send(self.request(Method::POST, path)).await
    }

    // --- runs ----------------------------------------------------------------------------------------------

    /// Launches the default agent over `/v1`; returns the run's id.
    pub async fn launch(&self, task: &str) -> String {
        self.launch_with(&json!({ "task": task })).await
    }

    /// # Panics
    /// When the launch is refused.
    pub async fn launch_with(&self, body: &Value) -> String {
        let run = self.post("/v1/runs", body).await.expect(201);
        run["id"].as_str().expect("a run has an id").to_owned()
    }

    pub async fn run(&self, id: &str) -> Value {
        self.get(&format!("/v1/runs/{id}")).await.expect(200)
    }

    /// All events of a run, in order.
    pub async fn events(&self, id: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let page = self.get(&format!("/v1/runs/{id}/events?after={after}&limit=1000")).await.expect(200);
            events.extend(page["events"].as_array().expect("a list of events").iter().cloned());
            match page["next_after"].as_u64() {
                Some(next) => after = next,
                None => return events,
            }
        }
    }

    /// The run, once it has one of these statuses.
    ///
    /// # Panics
    /// When it ends otherwise, or has none of them in time; the message holds the run and its events.
    pub async fn until(&self, id: &str, statuses: &[&str]) -> Value {
        const OVER: [&str; 5] = ["complete", "failed", "cancelled", "max_steps_reached", "quarantined"];
        let looked = until(deadline(), format!("run {id} is one of {statuses:?}"), async || {
            let run = self.run(id).await;
            let status = run["status"].as_str().expect("a run has a status");
            (statuses.contains(&status) || OVER.contains(&status)).then_some(run)
        });
        let run = match looked.await {
            Ok(run) => run,
            Err(error) => {
                panic!("{error}: {:#}\n{:#}", self.run(id).await, Value::from(self.events(id).await))
            }
        };
        let status = run["status"].as_str().expect("a run has a status");
        if !statuses.contains(&status) {
            panic!("not one of {statuses:?}: {run:#}\n{:#}", Value::from(self.events(id).await));
        }
        run
    }

    /// Launches, and waits for the end that is expected.
    pub async fn run_to(&self, task: &str, status: &str) -> Value {
        let id = self.launch(task).await;
        self.until(&id, &[status]).await
    }

    /// Answers the open question of a run.
    pub async fn answer(&self, run: &Value, answer: &str) -> Reply {
        let id = run["id"].as_str().expect("a run has an id");
        let body = json!({ "question": run["question"]["id"], "answer": answer });
        self.post(&format!("/v1/runs/{id}/answer"), &body).await
    }

    // --- the original wire ---------------------------------------------------------------------------------

    /// `POST /agent/launch`; returns the initial state.
    pub async fn wire_launch(&self, prompt: &str) -> Value {
        self.post("/agent/launch", &json!({ "input_prompt": prompt })).await.expect(200)
    }

    pub async fn wire_state(&self, id: &str) -> Value {
        self.get(&format!("/agent/state/{id}")).await.expect(200)
    }

    /// The state once it has this status.
    ///
    /// # Panics
    /// When it has not in time, or ends otherwise.
    pub async fn wire_until(&self, id: &str, status: &str) -> Value {
        const OVER: [&str; 3] = ["complete", "failed", "max_steps_reached"];
        let looked = until(deadline(), format!("state {id} is {status}"), async || {
            let state = self.wire_state(id).await;
            let is = state["status"].as_str().expect("a state has a status");
            (is == status || OVER.contains(&is)).then_some(state)
        });
        let state = match looked.await {
            Ok(state) => state,
            Err(error) => panic!("{error}: {:#}", self.wire_state(id).await),
        };
        assert_eq!(state["status"], status, "{state:#}");
        state
    }
}
