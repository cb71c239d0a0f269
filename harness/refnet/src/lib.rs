//! The reference network: a small, honest network that behaves as the Gateway API, the L2 announcement and the WireGuard
//! documentation say it should, in network namespaces, with faults that each break one promise. It is not Cilium.

pub mod spec;

pub mod settings;

pub mod fault;

pub mod chance;

pub mod packet;

pub mod l2;

pub mod wireguard;

pub mod api;

pub mod mirror;

mod labels;

pub mod control;

pub mod gateway;

pub mod service;

mod socket;

mod dial;

pub mod lab;

pub mod supervisor;

pub mod net;

pub mod node;

mod sys;
