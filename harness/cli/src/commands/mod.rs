//! One module a verb, and what several of them share.

pub(crate) mod docs;

pub(crate) mod doctor;

pub(crate) mod down;

pub(crate) mod faults;

mod flags;

pub(crate) mod images;

pub(crate) mod judge;

pub(crate) mod labs;

pub(crate) mod lint;

pub(crate) mod list;

pub(crate) mod report;

pub(crate) mod rights;

pub(crate) mod run;

pub(crate) mod schema;

pub(crate) mod shell;

pub(crate) mod soak;

pub(crate) mod sweep;

pub(crate) mod up;

mod runs;

mod trials;
