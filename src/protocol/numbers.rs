//! The numbers of `irosh/1`: its revision, its types of frames, and how long what may be.

/// Bytes in front of a frame: its length.
pub const HEADER_LENGTH: usize = 4;

/// The longest frame on the control stream in bytes, without its header.
pub const MAX_CONTROL_FRAME: usize = 32 << 10;

/// The longest frame at the head of a leg in bytes, without its header.
pub const MAX_LEG_FRAME: usize = 2 << 10;

/// The revision of `irosh/1` that this code speaks.
pub const VERSION: u32 = 1;

/// Bytes that a client may send of a session before the host has said how many.
pub const FIRST_WINDOW: u32 = 32 << 10;

/// Bytes of a session that either side may have to keep until they are delivered, at the most.
pub const MAX_WINDOW: u32 = 16 << 20;

/// The longest certificate in bytes: with an RSA key of 16,384 bits and 256 principals there is room left.
pub const MAX_CERTIFICATE: usize = 16 << 10;

/// Instances that one frame may name.
pub(super) const MAX_GONE: usize = 64;

pub(super) const MAX_NAME: usize = 255;

pub(super) mod kind {
    pub(in crate::protocol) const HELLO: u8 = 1;
    pub(in crate::protocol) const WELCOME: u8 = 2;
    pub(in crate::protocol) const REFUSED: u8 = 3;
    pub(in crate::protocol) const ACKNOWLEDGED: u8 = 4;
    pub(in crate::protocol) const GO_AWAY: u8 = 5;
    pub(in crate::protocol) const CLOSED: u8 = 6;
    pub(in crate::protocol) const GONE: u8 = 7;
    pub(in crate::protocol) const OPEN: u8 = 16;
    pub(in crate::protocol) const RESUME: u8 = 17;
    pub(in crate::protocol) const OPENED: u8 = 18;
    pub(in crate::protocol) const RESUMED: u8 = 19;
    /// From here on, frames are passed over where they are not known.
    pub(in crate::protocol) const IGNORABLE: u8 = 128;
}

/// An enum whose variants are numbers on the wire, which are found by them.
macro_rules! numbered {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$of_one:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$about])*
        #[repr(u32)]
        pub enum $name { $($(#[$of_one])* $variant = $number,)* }

        impl $name {
            /// The one of a number that a peer sent.
            #[must_use]
            pub fn from_number(number: u64) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use numbered;
