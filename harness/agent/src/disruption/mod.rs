//! What the agent does to the namespace it is in when a scenario asks for trouble. Each operation looks at its effect before it answers,
//! and keeps nothing: see [`plumb_core::probe`]'s disruptions.

mod objects;

pub(crate) mod link;

pub(crate) mod drops;

pub(crate) mod processes;
