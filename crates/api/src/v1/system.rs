//! `GET /v1/system`: what this server is.

use axum::Json;
use axum::extract::State;
use piton_store::Readiness;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::problem::{Problem, Problems};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct System {
    version: String,
    /// Whether the built-in practice model answers, for want of a real one.
    practice_model: bool,
    /// Whether tools that crash on purpose are there.
    test_tools: bool,
    /// The agent that is launched when none is named.
    default_agent: String,
    /// The model of agents that name none.
    model: String,
    store: StoreInfo,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoreInfo {
    /// `sqlite` or `postgres`.
    engine: String,
    engine_version: String,
    /// `full`: what was acknowledged survives a loss of power. `normal`: it survives the death of any process.
    synchronous: String,
    /// The schema's number.
    schema: u32,
}

/// Show what this server is
#[utoipa::path(
    get,
    path = "/v1/system",
    tag = "system",
    operation_id = "system",
    responses((status = 200, description = "The server", body = System), Problems)
)]
pub(crate) async fn system(State(api): Shared) -> Result<Json<System>, Problem> {
    let store = StoreInfo::from(api.store.readiness().await);
    let options = &api.options;
    Ok(Json(System {
        version: options.version.clone(),
        practice_model: options.practice_model,
        test_tools: options.test_tools,
        default_agent: options.default_agent.clone(),
        model: options.model_name.clone(),
        store,
    }))
}

impl From<Readiness> for StoreInfo {
    fn from(readiness: Readiness) -> Self {
        Self {
            engine: readiness.engine.to_owned(),
            engine_version: readiness.engine_version,
            synchronous: readiness.synchronous.to_owned(),
            schema: readiness.schema,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::world::World;

    #[tokio::test]
    async fn the_server_says_what_it_is() {
        let world = World::new().await;
        let system = world.get("/v1/system").await.expect(200);
        assert!(system["store"]["engine_version"].as_str().is_some_and(|version| version.starts_with("3.")));
        let expected = json!({
            "version": "0.1.0", "practice_model": false, "test_tools": false, "default_agent": "default",
            "model": "gpt-5",
            "store": {
                "engine": "sqlite", "engine_version": system["store"]["engine_version"], "synchronous": "full",
                "schema": system["store"]["schema"],
            },
        });
        assert_eq!(system, expected);
    }
}
