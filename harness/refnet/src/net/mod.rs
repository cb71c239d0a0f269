//! Namespaces, links, addresses, routes and rules of this kernel, by netlink. Nothing here knows what a lab is for.

pub mod names;

pub mod netns;

pub mod netlink;

pub mod plan;
