//! Faults of the agent itself, switched on by `PLUMB_AGENT_FAULT`: they make a capture worthless in the three ways a capture can be
//! worthless, or a server that gets no processor, so that a lab can show that its controls notice. Never set outside such a proof.

/// The variable that names the fault.
pub(crate) const VARIABLE: &str = "PLUMB_AGENT_FAULT";

/// A way to spoil a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureFault {
    /// It sees nothing.
    Blind,
    /// It listens somewhere else than it was asked to.
    WrongInterface,
    /// It has so little room, and reads so late, that the kernel drops frames.
    Drops,
}

impl CaptureFault {
    /// The fault this process was started with.
    pub(crate) fn of_process() -> Option<Self> {
        Self::named(std::env::var(VARIABLE).ok()?.as_str())
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "capture-blind" => Some(Self::Blind),
            "capture-wrong-interface" => Some(Self::WrongInterface),
            "capture-drops" => Some(Self::Drops),
            _ => None,
        }
    }
}

/// A way to spoil a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServeFault {
    /// It gets no processor for some seconds while a load is on it.
    Starved,
}

impl ServeFault {
    /// The fault this process was started with.
    pub(crate) fn of_process() -> Option<Self> {
        (std::env::var(VARIABLE).ok()? == "backend-starved").then_some(Self::Starved)
    }
}
