//! The model and the tools of a simulated world.

use async_trait::async_trait;
use piton_core::{CallId, EffectClass, Event, Item, Status, ToolSpec, TurnRequest};
use piton_model::{Ask, ModelFailure, Replied};
use piton_tools::{Ended, ToolError};
use piton_worker::{Model, Tools};
use serde_json::json;

use crate::place::{Call, Place, Turn};
use crate::story::{Planned, result_of};
use crate::universe::State;

/// A call that is quick takes half of this long at most before its effect, and after.
const TOOL_MS: u64 = 10;
/// Why a model cannot be asked.
pub(crate) const MODEL_DOWN: &str = "simulated: the model is down";

/// Tells each run's story.
#[derive(Debug)]
pub(crate) struct SimulatedModel(pub(crate) Place);

#[async_trait]
impl Model for SimulatedModel {
    async fn reply(&self, ask: &Ask<'_>) -> Result<Replied, ModelFailure> {
        let place = &self.0;
        place.alive().await;
        let story = {
            let state = place.universe.state();
            let task = match ask.items.first() {
                Some(Item::Message { content, .. }) => content.as_str(),
                _ => "",
            };
            state.stories.iter().find(|story| story.task() == task).cloned()
        };
        let Some(story) = story else {
            place.universe.must(Err(format!("a model was asked for no story: {:?}", ask.items)));
            return Err(ModelFailure { error: MODEL_DOWN.to_owned(), tries: 1 });
        };
        let call = Call { name: "model", run: Some(story.run) };
        let (course, fails) = {
            let mut state = place.universe.state();
            let mut course = place.course(call, &mut state);
            let State { rng, weather, .. } = &mut *state;
            let most = if rng.chance(weather.model_slow) { weather.model_slow_ms } else { weather.model_ms };
            course.before_ms = rng.between(1, most.max(1));
            (course, rng.chance(weather.model_fails))
        };
        place.begin(call, &course).await;
        place.inside().looks.remove(&story.run);
        let is_known = |id: CallId, output: &str| place.universe.state().ledger.is_known(id, output);
        let told = story.reply(ask.items, is_known).map_err(|why| format!("a wrong context: {why}"));
        place.wait(course.before_ms).await;
        place.end(call, &course).await;
        match told {
            Err(wrong) => {
                place.universe.must(Err(wrong));
                Err(ModelFailure { error: MODEL_DOWN.to_owned(), tries: 1 })
            }
            Ok(_) if fails => Err(ModelFailure { error: MODEL_DOWN.to_owned(), tries: 1 }),
            Ok(reply) => Ok(Replied { reply, request: TurnRequest::default() }),
        }
    }
}

/// Carries calls out on the world's ledger.
#[derive(Debug)]
pub(crate) struct SimulatedTools(pub(crate) Place);

/// What comes of a call that is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// It failed, without effect.
    Failed,
    /// Nobody says what came of it: it took effect, or none.
    Unknown {
        took_effect: bool,
    },
    /// The same, and it takes effect after a while, whatever becomes of the caller.
    OnItsWay {
        ms: u64,
    },
}

#[async_trait]
impl Tools for SimulatedTools {
    async fn call(&self, spec: &ToolSpec, arguments: &str, key: CallId) -> Ended {
        let place = &self.0;
        place.alive().await;
        let planned = place.universe.state().calls.get(&key).cloned();
        let Some((run, planned)) = planned.filter(|(_, planned)| is_it(planned, spec, arguments)) else {
            place.universe.must(Err(format!("{} was called with {arguments} under key {key}", spec.name)));
            return ended(Err(ToolError::Failed("simulated: no such call".to_owned())));
        };
        let call = Call { name: planned.name, run: Some(run) };
        let (course, fate) = {
            let mut state = place.universe.state();
            let mut course = place.course(call, &mut state);
            (course.before_ms, course.after_ms) = draw_times(&mut state);
            let fate = draw_fate(&mut state);
            (course, fate)
        };
        place.begin(call, &course).await;
        place.universe.must(self.may_begin(spec, run, key));
        let is_first = place.universe.state().ledger.begins(key);
        let fate = match planned.unknown_at_first.filter(|_| is_first) {
            Some(took_effect) => Fate::Unknown { took_effect },
            None => fate,
        };
        if let Some(ms) = planned.slow_at_first_ms.filter(|_| is_first) {
            place.wait(ms).await;
        }
        if planned.name == "poison" {
            place.crash(vec![run], true);
        }
        place.wait(course.before_ms).await;
        {
            let mut state = place.universe.state();
            let now_ms = state.now_ms;
            match fate {
                Fate::Done | Fate::Unknown { took_effect: true } => state.ledger.takes_effect(key),
                Fate::OnItsWay { ms } => state.ledger.lands(key, now_ms + ms),
                Fate::Failed | Fate::Unknown { took_effect: false } => {}
            }
            state.note("fate", &[place.number], || format!("  {} of {}: {fate:?}", spec.name, place.name));
        }
        if course.turn == Turn::CrashesAfter {
            place.end(call, &course).await;
        }
        place.wait(course.after_ms).await;
        place.end(call, &course).await;
        let result = match fate {
            Fate::Done => Ok(result_of(arguments)),
            Fate::Failed => Err(ToolError::Failed("simulated: it failed".to_owned())),
            Fate::Unknown { .. } | Fate::OnItsWay { .. } => {
                Err(ToolError::Unknown("simulated: nobody knows".to_owned()))
            }
        };
        let mut state = place.universe.state();
        match &result {
            Ok(result) => state.ledger.may_be_shown(key, json!({ "result": result }).to_string()),
            Err(ToolError::Failed(why)) => state.ledger.may_be_shown(key, error(why)),
            Err(ToolError::Unknown(why)) => {
                state.ledger.may_be_shown(key, error(&format!("{why} (3 tries)")))
            }
        }
        ended(result)
    }
}

impl SimulatedTools {
    /// No tool is begun after an acknowledged pause or cancel. A call that may be made again looks at the run right
    /// before it begins, and the run was running then. One that may not was announced, as a compare-and-set, by
    /// this very worker, and by nobody since.
    fn may_begin(&self, spec: &ToolSpec, run: piton_core::RunId, key: CallId) -> Result<(), String> {
        let place = &self.0;
        let (looks, me) = {
            let mut inside = place.inside();
            (inside.looks.remove(&run), inside.incarnation.clone())
        };
        if spec.effect != EffectClass::AtMostOnce {
            return match looks.as_deref().unwrap_or_default() {
                [] => Err(format!("{} was begun without a look at the run", spec.name)),
                seen if seen.contains(&Status::Running) => Ok(()),
                seen => Err(format!("{} was begun on a run that was seen {seen:?}", spec.name)),
            };
        }
        place.universe.memory.look(|tables| {
            let stored = tables.runs.get(&run).ok_or("a tool was begun for no run")?;
            let announced = stored.events.iter().rev().find_map(|recorded| match &recorded.event {
                Event::ToolStarted { call, worker, .. } if *call == key => Some(worker),
                _ => None,
            });
            match announced {
                Some(worker) if Some(worker) == me.as_ref() => Ok(()),
                Some(worker) => Err(format!("{} was announced by {worker} and begun by {me:?}", spec.name)),
                None => Err(format!("{} was begun and never announced", spec.name)),
            }
        })
    }
}

fn is_it(planned: &Planned, spec: &ToolSpec, arguments: &str) -> bool {
    planned.name == spec.name && planned.arguments == arguments
}

fn draw_times(state: &mut State) -> (u64, u64) {
    let State { rng, weather, .. } = state;
    let most = if rng.chance(weather.tool_slow) { weather.tool_slow_ms } else { TOOL_MS };
    (rng.between(0, most), rng.between(0, most))
}

fn draw_fate(state: &mut State) -> Fate {
    let State { rng, weather, .. } = state;
    if rng.chance(weather.tool_fails) {
        return Fate::Failed;
    }
    if !rng.chance(weather.tool_unknown) {
        return Fate::Done;
    }
    match rng.between(0, 2) {
        0 => Fate::Unknown { took_effect: true },
        1 => Fate::Unknown { took_effect: false },
        _ => Fate::OnItsWay { ms: rng.between(1, weather.tool_slow_ms) },
    }
}

fn error(why: &str) -> String {
    json!({ "result": format!("Error: {why}") }).to_string()
}

const fn ended(result: Result<serde_json::Value, ToolError>) -> Ended {
    Ended { result, full: None }
}
