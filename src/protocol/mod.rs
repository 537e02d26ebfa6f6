//! `irosh/1` as `PROTOCOL.md` has it: frames and their bytes, without any I/O. [`pairing`] has those of `irosh-pair/1`.

mod codes;
mod extensions;
mod frame;
mod frame_error;
mod host_keys;
mod ids;
mod leg;
mod numbers;
pub mod pairing;
mod proof;
mod wire;

pub use codes::{CloseCode, Refusal, RefusalCode};
pub use extensions::Extensions;
pub use frame::{
    Acknowledged, BackendKind, Closed, Frame, Hello, Limits, Welcome, frame_length, is_passed_over,
};
pub use frame_error::FrameError;
pub use ids::{Instance, SessionId};
pub use leg::{LegHeader, LegReply, Position};
pub use numbers::{
    FIRST_WINDOW, HEADER_LENGTH, MAX_CERTIFICATE, MAX_CONTROL_FRAME, MAX_LEG_FRAME, MAX_WINDOW, VERSION,
};
pub use proof::{EXPORTER_LABEL, EXPORTER_LENGTH, Manner, Touch, proof_message};
