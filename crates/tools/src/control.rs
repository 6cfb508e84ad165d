//! The two calls that steer a run. Only their specs live here: the reducer carries them out.

// The types are read for their schemas only.
#![expect(dead_code, reason = "fields are read by the schema generator")]

use piton_core::{EffectClass, ToolKind, ToolSpec};
use schemars::JsonSchema;

use crate::schema;

#[derive(JsonSchema)]
struct AskHuman {
    /// The question, complete in itself: the person sees it without the conversation.
    question: String,
}

#[derive(JsonSchema)]
struct FinalAnswer {
    /// The answer to the task, in the words the person should read.
    answer: String,
}

pub(crate) fn ask_human() -> ToolSpec {
    schema::spec::<AskHuman>(
        "ask_human",
        "Asks the person who gave the task, and waits for their answer. Use it when something that only they \
         know is missing.",
        EffectClass::Pure,
        ToolKind::AskHuman,
    )
}

pub(crate) fn final_answer() -> ToolSpec {
    schema::spec::<FinalAnswer>(
        "final_answer",
        "Ends the task with this answer. Call it once, alone, when the task is done or cannot be done.",
        EffectClass::Pure,
        ToolKind::FinalAnswer,
    )
}
