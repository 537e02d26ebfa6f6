//! Forwarding: connections from here for the client, and listeners here whose connections go to it.

pub(super) mod agent;
pub(super) mod listen;
pub(super) mod to_client;
pub(super) mod x11;
