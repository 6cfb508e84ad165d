//! An agent's hands: what tools there are, what arguments each takes, and how a call is carried out.
//!
//! [`Registry::call`] is the only way in: it checks the arguments against the tool's JSON Schema before anything
//! runs, bounds the call in time and its result in size, and turns every failure into a [`ToolError`] that says
//! whether the outcome is known. What is too long for the model is kept beside its beginning ([`Ended`]). This crate does not decide *whether* a call may be made (that is the worker, by
//! the tool's effect class), it records nothing, and it calls nothing twice.

mod registry;
mod tool;

mod arguments;
mod output;
mod schema;

mod control;
mod http;
mod math;
mod now;
mod testing;

pub use arguments::parameters;
pub use http::{
    HTTP_BODY_BYTES_MAX, HTTP_REDIRECTS_MAX, HTTP_TIMEOUT_MS, HTTP_TIMEOUT_MS_DEFAULT, check_header,
    check_url,
};
pub use output::{Ended, FULL_BYTES_MAX, Full};
pub use registry::{Registry, RegistryOptions};
pub use tool::{Tool, ToolError, ToolInput};
