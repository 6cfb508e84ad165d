#[cfg_attr(not(test), allow(dead_code, reason = "the commands come next"))]
mod agents;
#[cfg_attr(not(test), allow(dead_code, reason = "the commands come next"))]
mod config;

fn main() {}
