//! `GET /v1/agents` and `GET /v1/agents/{name}`: what may be launched.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use piton_core::{HttpMethod, HttpTool};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::limits::Limits;
use super::shown::EffectName;
use crate::api::Shared;
use crate::problem::{Kind, Problem, ProblemBody, Problems};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agents {
    agents: Vec<Agent>,
}

/// An agent's definition as it is in effect. Runs are pinned to the one they were launched with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agent {
    name: String,
    /// Of the definition: the runs that are launched now are pinned to it.
    digest: String,
    description: String,
    /// The prompt's text.
    instructions: String,
    model: String,
    max_steps: u32,
    limits: Limits,
    tools: Vec<ToolSpec>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolSpec {
    name: String,
    description: String,
    /// JSON Schema of the arguments.
    #[schema(value_type = Object)]
    parameters: Value,
    effect: EffectName,
    kind: ToolKind,
}

/// How a tool is carried out.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum ToolKind {
    AskHuman,
    FinalAnswer,
    Builtin,
    Http {
        method: String,
        /// Without credentials and query, which may hold secrets.
        url: String,
        timeout_ms: u64,
        /// Whether private, loopback and link-local addresses may be called.
        allow_private: bool,
        /// Values are shown only where they are references such as `env:LEDGER_TOKEN`.
        headers: BTreeMap<String, String>,
    },
}

/// List agents
#[utoipa::path(
    get,
    path = "/v1/agents",
    tag = "agents",
    operation_id = "list_agents",
    responses((status = 200, description = "What may be launched", body = Agents), Problems)
)]
pub(crate) async fn list(State(api): Shared) -> Json<Agents> {
    Json(Agents { agents: api.options.agents.iter().map(Agent::from).collect() })
}

/// Show an agent
#[utoipa::path(
    get,
    path = "/v1/agents/{name}",
    tag = "agents",
    operation_id = "show_agent",
    params(("name" = String, Path, description = "The agent's name")),
    responses(
        (status = 200, description = "The agent", body = Agent),
        (status = 404, description = "No such agent", body = ProblemBody, content_type = "application/problem+json"),
        Problems,
    )
)]
pub(crate) async fn show(
    State(api): Shared,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Agent>, Problem> {
    match name.ok().and_then(|Path(name)| api.agent(Some(&name))) {
        Some(agent) => Ok(Json(agent.into())),
        None => {
            let known = api.agent_names();
            Err(Problem::new(Kind::AgentNotFound, format!("There is no such agent: known are {known}")))
        }
    }
}

impl From<&piton_core::Agent> for Agent {
    fn from(agent: &piton_core::Agent) -> Self {
        // As the store makes it at a launch.
        let definition = serde_json::to_string(agent).unwrap_or_default();
        Self {
            name: agent.name.clone(),
            digest: hex::encode(Sha256::digest(definition)),
            description: agent.description.clone(),
            instructions: agent.instructions.clone(),
            model: agent.model.clone(),
            max_steps: agent.max_steps,
            limits: agent.limits.into(),
            tools: agent.tools.iter().map(ToolSpec::from).collect(),
        }
    }
}

impl From<&piton_core::ToolSpec> for ToolSpec {
    fn from(tool: &piton_core::ToolSpec) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            parameters: tool.parameters.clone(),
            effect: EffectName(tool.effect),
            kind: match &tool.kind {
                piton_core::ToolKind::AskHuman => ToolKind::AskHuman,
                piton_core::ToolKind::FinalAnswer => ToolKind::FinalAnswer,
                piton_core::ToolKind::Builtin => ToolKind::Builtin,
                piton_core::ToolKind::Http(http) => ToolKind::from(http),
            },
        }
    }
}

impl From<&HttpTool> for ToolKind {
    fn from(tool: &HttpTool) -> Self {
        let method = match tool.method {
            HttpMethod::Get => "GET",
            HttpMethod::Post => "POST",
            HttpMethod::Put => "PUT",
            HttpMethod::Patch => "PATCH",
            HttpMethod::Delete => "DELETE",
        };
        let shown = |value: &String| if value.starts_with("env:") { value.clone() } else { "…".to_owned() };
        Self::Http {
            method: method.to_owned(),
            url: without_secrets(&tool.url),
            timeout_ms: tool.timeout_ms,
            allow_private: tool.allow_private,
            headers: tool.headers.iter().map(|(name, value)| (name.clone(), shown(value))).collect(),
        }
    }
}

/// A URL without its user, password, query and fragment.
fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let host = authority.rsplit('@').next().unwrap_or_default();
    if scheme.is_empty() { format!("{host}{path}") } else { format!("{scheme}://{host}{path}") }
}

#[cfg(test)]
mod tests {
    use crate::world::World;

    use super::*;

    #[tokio::test]
    async fn agents_are_listed_and_shown_by_name() {
        let world = World::new().await;
        let list = world.get("/v1/agents").await.expect(200);
        let names: Vec<&Value> =
            list["agents"].as_array().expect("agents").iter().map(|agent| &agent["name"]).collect();
        assert_eq!(names, ["default", "brief"]);
        let one = world.get("/v1/agents/brief").await.expect(200);
        assert_eq!(one, list["agents"][1]);
        assert_eq!(one["tools"][1]["effect"], "at_most_once");
        assert_eq!(
            one["limits"],
            serde_json::json!({ "tool_errors": 4, "repeated_calls": 4, "events": 50_000 })
        );
        assert_eq!(one["tools"][1]["kind"], serde_json::json!({ "kind": "builtin" }));
        for name in ["nobody", "%00", "%ff"] {
            assert_eq!(
                world.get(&format!("/v1/agents/{name}")).await.problem(),
                "404 agent-not-found: There is no such agent: known are default, brief"
            );
        }
    }

    #[test]
    fn an_http_tool_shows_no_secret() {
        let tool = HttpTool {
            method: HttpMethod::Post,
            url: "https://user:hunter2@ledger.example:9000/entries?token=hunter2#hunter2".to_owned(),
            timeout_ms: 10_000,
            allow_private: false,
            headers: [("authorization", "env:LEDGER_TOKEN"), ("x-key", "hunter2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        let shown = serde_json::to_string(&ToolKind::from(&tool)).expect("JSON");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("https://ledger.example:9000/entries"), "{shown}");
        assert!(shown.contains("env:LEDGER_TOKEN"), "{shown}");
    }
}
