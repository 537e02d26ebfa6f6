//! scratch
pub mod machine;
pub mod queue;
pub mod tail;
