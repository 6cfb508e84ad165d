//! The loop without durability: the same model, the same client and tools, a list of items in memory, and nothing kept
//! anywhere. What one writes before one learns that processes die.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use piton_core::{CallId, Item, RunId, ToolSpec};
use piton_model::{Api, Ask, ModelClient, ModelConfig};
use piton_tools::{Registry, RegistryOptions};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::model::{PROMPT, TOOLS, answer, task};

struct Loop {
    model: ModelClient,
    tools: Registry,
    specs: Vec<ToolSpec>,
    turns: usize,
}

#[derive(Deserialize)]
struct Answer {
    answer: String,
}

/// How long `runs` of `turns` took, `at_once` of them at any time.
pub(super) async fn measure(
    model: SocketAddr,
    runs: usize,
    at_once: usize,
    turns: usize,
) -> anyhow::Result<Duration> {
    let tools = Registry::new(RegistryOptions { test_tools: false });
    let specs = TOOLS.iter().filter_map(|name| tools.spec(name)).collect();
    let model = ModelClient::new(ModelConfig {
        api: Api::Responses,
        base_url: format!("http://{model}/v1"),
        api_key: None,
        timeout_ms: 60_000,
        tries_max: 1,
        reasoning_effort: None,
        max_output_tokens: None,
    })?;
    let bare = Arc::new(Loop { model, tools, specs, turns });
    // Warm, as what it is compared with is.
    bare.all(at_once, at_once).await?;
    bare.all(runs, at_once).await
}

impl Loop {
    async fn all(self: &Arc<Self>, runs: usize, at_once: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..at_once {
            let bare = Arc::clone(self);
            lanes.spawn(async move {
                for n in (lane..runs).step_by(at_once) {
                    bare.run(n as u64).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = lanes.join_next().await {
            done.context("a run of the bare loop")??;
        }
        Ok(begun.elapsed())
    }

    async fn run(&self, from: u64) -> anyhow::Result<()> {
        let mut items = vec![Item::user(task(from))];
        // The tool is pure: no key matters to it.
        let key = CallId::derive(RunId::from_uuid(Uuid::nil()), 1, 0);
        loop {
            let ask = Ask { model: "bench", instructions: PROMPT, items: &items, tools: &self.specs };
            let reply = self.model.reply(&ask).await?.reply;
            let [call] = &reply.calls[..] else { bail!("one call was expected, not {:?}", reply.calls) };
            if call.name == "final_answer" {
                let Answer { answer: said } = serde_json::from_str(&call.arguments)?;
                let expected = answer(from, self.turns);
                return if said == expected { Ok(()) } else { bail!("it came to {said}, not to {expected}") };
            }
            let spec = self.tools.spec(&call.name).context("a tool that is there")?;
            let result = self.tools.call(&spec, &call.arguments, key).await.result?;
            items.push(Item::Call {
                r#type: "function_call".to_owned(),
                name: call.name.clone(),
                arguments: call.arguments.clone(),
                call_id: call.call_id.clone(),
            });
            items.push(Item::Output {
                r#type: "function_call_output".to_owned(),
                call_id: call.call_id.clone(),
                output: json!({ "result": result }).to_string(),
            });
        }
    }
}
