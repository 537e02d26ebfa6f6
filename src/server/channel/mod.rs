//! Channels: the queues of what a client sends, and bytes between a channel and what stands behind it.

mod idle;
pub(super) mod inbox;
pub(super) mod inboxes;
pub(super) mod outlet;
pub(super) mod relay;
