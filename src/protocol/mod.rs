//! `irosh/1` as `PROTOCOL.md` has it: frames and their bytes, without any I/O.

mod codes;
mod frame;
mod proof;
mod wire;

pub use codes::{CloseCode, Refusal, RefusalCode};
pub use frame::{
    Acknowledged, BackendKind, Frame, FrameError, HEADER_LENGTH, Hello, LegHeader, LegReply, Limits,
    MAX_CONTROL_FRAME, MAX_LEG_FRAME, SessionId, Welcome, frame_length,
};
pub use proof::{EXPORTER_LABEL, EXPORTER_LENGTH, proof_message};
