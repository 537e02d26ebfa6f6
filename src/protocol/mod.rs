//! `irosh/1` as `PROTOCOL.md` has it: frames and their bytes, without any I/O. [`pairing`] has those of `irosh-pair/1`.

mod codes;
mod extensions;
mod frame;
pub mod pairing;
mod proof;
mod wire;

pub use codes::{CloseCode, Refusal, RefusalCode};
pub use extensions::Extensions;
pub use frame::{
    Acknowledged, BackendKind, Closed, FIRST_WINDOW, Frame, FrameError, HEADER_LENGTH, Hello, Instance,
    LegHeader, LegReply, Limits, MAX_CERTIFICATE, MAX_CONTROL_FRAME, MAX_LEG_FRAME, MAX_WINDOW, Position,
    SessionId, VERSION, Welcome, frame_length, is_passed_over,
};
pub use proof::{EXPORTER_LABEL, EXPORTER_LENGTH, Manner, Touch, proof_message};
