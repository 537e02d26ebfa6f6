//! The bytes within a ticket or an invite. Mutating base32 seldom reaches their decoder, so it has
//! a target of its own.
#![no_main]

use iroh_tickets::{Ticket, endpoint::EndpointTicket};
use irosh::transport::{Invite, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ticket) = EndpointTicket::decode_bytes(bytes) {
        assert_eq!(EndpointTicket::decode_bytes(&ticket.encode_bytes()).as_ref().ok(), Some(&ticket));
        let text = ticket.to_string();
        if text.len() <= Target::MAX_LENGTH {
            let target: Target = text.parse().expect("a ticket is a target");
            assert_eq!((target.addr(), target.secret()), (ticket.endpoint_addr(), None));
        }
    }
    if let Ok(invite) = Invite::decode_bytes(bytes) {
        assert_eq!(Invite::decode_bytes(&invite.encode_bytes()).as_ref().ok(), Some(&invite));
        let text = invite.to_string();
        if text.len() <= Target::MAX_LENGTH {
            let target: Target = text.parse().expect("an invite is a target");
            assert_eq!((target.addr(), target.secret()), (&invite.addr, Some(&invite.secret)));
        }
    }
});
