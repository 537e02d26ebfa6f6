//! What is said on a network, byte for byte: DNS packets (RFC 1035) of the service `_irosh._udp` (RFC 6763). Pure.
//!
//! Who looks for one host asks for a name that is made of a number of its own and a hash of that and the host's key. The
//! host finds that it is meant. Others learn nothing, not even that the same host is looked for again.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use iroh::EndpointId;
use sha2::{Digest, Sha256};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, Question, ResourceRecord, TYPE, header_buffer,
    rdata::{A, AAAA, PTR, RData, SRV, TXT},
};

/// Bytes of the largest packet that is read: of Ethernet's.
pub(super) const LARGEST: usize = 1500;

/// The service. Any browser of such lists the hosts by it: `avahi-browse -r _irosh._udp`.
const SERVICE: &str = "_irosh._udp.local";

/// How long others may keep what they are told, in seconds (RFC 6762 section 10).
const TTL: u32 = 120;

/// Records of a packet that is read, at the most; ours have a dozen.
const MOST_RECORDS: u32 = 64;

/// Hosts that one packet tells of, at the most.
const MOST_HOSTS: usize = 4;

/// Services of a host, one for each port, and addresses, at the most.
const MOST_PORTS: usize = 2;
const MOST_ADDRESSES: usize = 8;

/// Questions of a packet that are looked at; ours have one.
const MOST_QUESTIONS: usize = 8;

/// Digits of an endpoint id that a host's name in the service is made of.
const SHORT: usize = 16;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// All hosts.
    All,
    /// One, by a name that nobody else knows for its own.
    One(Blind),
}

/// A name for a host that was made for one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blind {
    nonce: [u8; 8],
    hash: [u8; 20],
}

/// Where somebody says that a host is; only the host can prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its endpoint id.
    pub(crate) id: EndpointId,
    /// Its addresses on this network.
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Asked {
    /// For the one with this key.
    pub(super) fn for_one(key: &EndpointId, nonce: [u8; 8]) -> Self {
        Self::One(Blind { nonce, hash: Blind::hash(key, nonce) })
    }

    /// The packet that asks.
    pub(super) fn packet(self) -> Vec<u8> {
        let (name, kind) = match self {
            Self::All => (SERVICE.to_owned(), TYPE::PTR),
            Self::One(blind) => (format!("{}.{SERVICE}", blind.label()), TYPE::SRV),
        };
        let mut packet = Packet::new_query(0);
        packet.questions.push(Question::new(
            Name::new_unchecked(&name),
            kind.into(),
            CLASS::IN.into(),
            false,
        ));
        packet.build_bytes_vec().unwrap_or_default()
    }

    /// What a packet asks for that concerns us.
    pub(super) fn read(bytes: &[u8]) -> Vec<Self> {
        let packet = parse(bytes, PacketFlag::empty());
        let questions = packet.iter().flat_map(|packet| &packet.questions).take(MOST_QUESTIONS);
        questions.filter_map(Self::of).collect()
    }

    fn of(question: &Question<'_>) -> Option<Self> {
        let is_for = |kind: TYPE| matches!(question.qtype, QTYPE::TYPE(asked) if asked == kind);
        match within_service(&question.qname)?[..] {
            [] if is_for(TYPE::PTR) || question.qtype == QTYPE::ANY => Some(Self::All),
            [label] if is_for(TYPE::SRV) => Blind::of(label).map(Self::One),
            _ => None,
        }
    }

    /// Whether the host with this key is asked for by its key.
    pub(super) fn is_for(&self, key: &EndpointId) -> bool {
        matches!(self, Self::One(blind) if Blind::hash(key, blind.nonce) == blind.hash)
    }
}

impl Blind {
    fn hash(key: &EndpointId, nonce: [u8; 8]) -> [u8; 20] {
        let digest =
            Sha256::new().chain_update("irosh lan 1").chain_update(nonce).chain_update(key.as_bytes());
        let mut hash = [0; 20];
        hash.copy_from_slice(&digest.finalize()[..20]);
        hash
    }

    fn label(self) -> String {
        hex::encode(self.nonce) + &hex::encode(self.hash)
    }

    fn of(label: &[u8]) -> Option<Self> {
        let mut bytes = [0; 28];
        hex::decode_to_slice(label, &mut bytes).ok()?;
        let (nonce, hash) = bytes.split_at(8);
        Some(Self { nonce: nonce.try_into().ok()?, hash: hash.try_into().ok()? })
    }
}

/// The packet by which a host tells that it is at these addresses. Who is looked for by another key than its own id is
/// not for browsers to list.
pub(super) fn announcement(key: &EndpointId, id: &EndpointId, addresses: &[SocketAddr]) -> Vec<u8> {
    let short = &id.to_string()[..SHORT];
    let name = format!("{short}.{SERVICE}");
    let target = |port| format!("{short}-{port}.local");
    let targets: BTreeMap<u16, String> =
        addresses.iter().map(|address| (address.port(), target(address.port()))).collect();
    let words = [format!("id={id}"), format!("for={key}")];
    let mut packet = Packet::new_reply(0);
    packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
    if key == id {
        let pointer = RData::PTR(PTR(Name::new_unchecked(&name)));
        packet.answers.push(ResourceRecord::new(Name::new_unchecked(SERVICE), CLASS::IN, TTL, pointer));
    }
    let own = |name, data| ResourceRecord::new(name, CLASS::IN, TTL, data).with_cache_flush(true);
    for (port, target) in &targets {
        let target = Name::new_unchecked(target);
        let service = RData::SRV(SRV { priority: 0, weight: 0, port: *port, target });
        packet.answers.push(own(Name::new_unchecked(&name), service));
    }
    let mut text = TXT::new();
    for word in &words[..if key == id { 1 } else { 2 }] {
        // Only one of more than 255 bytes would not do.
        let _ = text.add_string(word);
    }
    packet.answers.push(own(Name::new_unchecked(&name), RData::TXT(text)));
    for address in addresses {
        let data = match address.ip() {
            IpAddr::V4(ip) => RData::A(A { address: ip.to_bits() }),
            IpAddr::V6(ip) => RData::AAAA(AAAA { address: ip.to_bits() }),
        };
        if let Some(target) = targets.get(&address.port()) {
            packet.additional_records.push(own(Name::new_unchecked(target), data));
        }
    }
    packet.build_bytes_vec_compressed().unwrap_or_default()
}

impl Told {
    /// What a packet tells of the one that is looked for by this key, or of all that are to be listed.
    pub(super) fn read(bytes: &[u8], wanted: Option<&EndpointId>) -> Vec<Self> {
        // Most of what a network says is of no concern, and is not even parsed.
        let is_named = |key: &EndpointId| {
            let digits = key.to_string();
            bytes.windows(digits.len()).any(|part| part == digits.as_bytes())
        };
        if !wanted.is_none_or(is_named) {
            return Vec::new();
        }
        parse(bytes, PacketFlag::RESPONSE).map(|packet| Self::all(&packet, wanted)).unwrap_or_default()
    }

    fn all(packet: &Packet<'_>, wanted: Option<&EndpointId>) -> Vec<Self> {
        let records = || packet.answers.iter().chain(&packet.additional_records);
        let ids = records().filter_map(|record| match &record.rdata {
            RData::TXT(text) => Some((instance(record)?, id_in(text, wanted)?)),
            _ => None,
        });
        let addresses = |of: &[u8]| {
            let services = records().filter_map(|record| match &record.rdata {
                RData::SRV(service) if instance(record) == Some(of) && service.port != 0 => Some(service),
                _ => None,
            });
            let at = |service: &SRV<'_>| {
                let there = records().filter(|record| record.name == service.target).filter_map(address);
                there.map(|address| SocketAddr::new(address, service.port)).collect::<Vec<_>>()
            };
            services.take(MOST_PORTS).flat_map(at).take(MOST_ADDRESSES).collect::<Vec<_>>()
        };
        let told = ids.take(MOST_HOSTS).map(|(of, id)| Self { id, addresses: addresses(of) });
        told.filter(|told| !told.addresses.is_empty()).collect()
    }
}

/// The id of a host, if it is looked for by what is wanted, or is to be listed.
fn id_in(text: &TXT<'_>, wanted: Option<&EndpointId>) -> Option<EndpointId> {
    let key_of = |word: &[u8]| {
        let value = text.iter_raw().find(|(key, _)| *key == word)?.1?;
        let mut key = [0; 32];
        hex::decode_to_slice(value, &mut key).ok().map(|()| key)
    };
    let (id, key) = (key_of(b"id")?, key_of(b"for"));
    let is_wanted = match wanted {
        Some(wanted) => key.unwrap_or(id) == *wanted.as_bytes(),
        None => key.is_none(),
    };
    if is_wanted { EndpointId::from_bytes(&id).ok() } else { None }
}

fn address(record: &ResourceRecord<'_>) -> Option<IpAddr> {
    match &record.rdata {
        RData::A(a) => Some(Ipv4Addr::from_bits(a.address).into()),
        RData::AAAA(aaaa) => Some(Ipv6Addr::from_bits(aaaa.address).into()),
        _ => None,
    }
}

/// What of the service a record is about.
fn instance<'a>(record: &'a ResourceRecord<'_>) -> Option<&'a [u8]> {
    match within_service(&record.name)?[..] {
        [label] => Some(label),
        _ => None,
    }
}

/// The labels of a name in the service before those of the service.
fn within_service<'a>(name: &'a Name<'_>) -> Option<Vec<&'a [u8]>> {
    let mut labels: Vec<&[u8]> = name.as_bytes().collect();
    let service = SERVICE.split('.').map(str::as_bytes);
    let before = labels.len().checked_sub(service.clone().count())?;
    let is_it = labels[before..].iter().zip(service).all(|(label, of)| label.eq_ignore_ascii_case(of));
    labels.truncate(before);
    is_it.then_some(labels)
}

/// A packet that is an answer, or is none.
fn parse(bytes: &[u8], kind: PacketFlag) -> Option<Packet<'_>> {
    use header_buffer::{additional_records, answers, has_flags, name_servers, questions};
    if has_flags(bytes, PacketFlag::RESPONSE).ok()? != (kind == PacketFlag::RESPONSE) {
        return None;
    }
    // Room is made for as many as a packet says that it has.
    let counts = [questions(bytes), answers(bytes), name_servers(bytes), additional_records(bytes)];
    let records: u32 = counts.into_iter().map(|count| count.map_or(u32::MAX >> 3, u32::from)).sum();
    if records > MOST_RECORDS { None } else { Packet::parse(bytes).ok() }
}

/// Reads a packet as hosts and clients do.
#[cfg(fuzzing)]
pub fn read_packet(bytes: &[u8]) {
    Asked::read(bytes);
    for told in Told::read(bytes, None) {
        assert!((1..=MOST_ADDRESSES).contains(&told.addresses.len()), "{told:?}");
        Told::read(bytes, Some(&told.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(seed: u8) -> EndpointId {
        iroh::SecretKey::from_bytes(&[seed; 32]).public()
    }

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn a_host_is_found_by_who_looks_for_it_and_by_who_looks_for_all() {
        let addresses = addresses(&["192.168.1.5:4433", "10.0.0.5:4433", "[fd77::5]:4434"]);
        let packet = announcement(&id(1), &id(1), &addresses);
        let told = vec![Told { id: id(1), addresses }];
        assert_eq!(Told::read(&packet, Some(&id(1))), told);
        assert_eq!(Told::read(&packet, None), told);
        assert_eq!(Told::read(&packet, Some(&id(2))), []);
        assert!(packet.len() < 512, "{}", packet.len());
        assert_eq!(Asked::read(&packet), []);
    }

    #[test]
    fn who_is_looked_for_by_another_key_is_not_listed() {
        let packet = announcement(&id(9), &id(1), &addresses(&["192.168.1.5:4433"]));
        assert_eq!(Told::read(&packet, None), []);
        assert_eq!(Told::read(&packet, Some(&id(1))), []);
        assert_eq!(Told::read(&packet, Some(&id(9)))[0].id, id(1));
    }

    #[test]
    fn a_question_is_for_one_host_and_tells_others_nothing() {
        let question = Asked::for_one(&id(1), [7; 8]);
        let packet = question.packet();
        assert_eq!(Asked::read(&packet), [question]);
        assert!(question.is_for(&id(1)) && !question.is_for(&id(2)));
        let again = Asked::for_one(&id(1), [8; 8]).packet();
        let (first, second) = (&packet[13..69], &again[13..69]);
        assert!(first.iter().zip(second).filter(|(a, b)| a == b).count() < 30, "alike");
        let hex = id(1).to_string();
        let said = String::from_utf8_lossy(&packet).into_owned();
        assert!(!(0..hex.len() - 8).any(|at| said.contains(&hex[at..at + 8])), "{said}");
        assert_eq!(Told::read(&packet, None), []);
    }

    #[test]
    fn all_are_asked_for_as_any_browser_does() {
        assert_eq!(Asked::read(&Asked::All.packet()), [Asked::All]);
        let in_capitals = String::from_utf8_lossy(&Asked::All.packet()).to_uppercase().into_bytes();
        assert_eq!(Asked::read(&in_capitals), [Asked::All]);
        assert!(!Asked::All.is_for(&id(1)));
    }

    #[test]
    fn what_others_ask_and_tell_is_none_of_ours() {
        let mut packet = Packet::new_query(0);
        for (name, kind) in [
            ("_ipp._tcp.local", TYPE::PTR),
            ("local", TYPE::PTR),
            ("abc._irosh._udp.local", TYPE::SRV),
            ("_irosh._udp.local", TYPE::A),
            ("_irosh._tcp.local", TYPE::PTR),
        ] {
            let question = Question::new(Name::new_unchecked(name), kind.into(), CLASS::IN.into(), false);
            packet.questions.push(question);
        }
        assert_eq!(Asked::read(&packet.build_bytes_vec().expect("a packet")), []);
    }

    #[test]
    fn a_packet_that_says_it_has_more_than_any_of_ours_is_not_read() {
        let mut packet = Asked::All.packet();
        for count in [4, 6, 8, 10] {
            let old = packet[count];
            packet[count] = 0xff;
            assert_eq!(Asked::read(&packet), [], "{count}");
            packet[count] = old;
        }
        assert_eq!(Asked::read(&packet[..11]), []);
        assert_eq!(Asked::read(&packet), [Asked::All]);
    }

    #[test]
    fn who_says_to_be_looked_for_by_another_key_is_taken_for_nobody_else() {
        // The key that is dialled is the one that was looked for.
        let told = Told::read(&announcement(&id(1), &id(6), &addresses(&["192.168.1.66:1"])), Some(&id(1)));
        assert_eq!(told[0].id, id(6));
        assert_eq!(
            Told::read(&announcement(&id(6), &id(1), &addresses(&["192.168.1.66:1"])), Some(&id(1))),
            []
        );
    }

    #[test]
    fn a_host_of_many_addresses_has_eight() {
        let many: Vec<_> = (0..30).map(|last| SocketAddr::from(([192, 168, 1, last], 4433))).collect();
        let told = Told::read(&announcement(&id(1), &id(1), &many), Some(&id(1)));
        assert_eq!(told[0].addresses, many[..MOST_ADDRESSES]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..1500)) {
            Asked::read(&bytes);
            Told::read(&bytes, None);
        }

        #[test]
        fn a_damaged_packet_is_read_without_harm(at in 0..200_usize, value in proptest::num::u8::ANY) {
            let mut bytes = announcement(&id(1), &id(1), &addresses(&["192.168.1.5:4433", "[fd77::5]:4434"]));
            let at = at % bytes.len();
            bytes[at] = value;
            Asked::read(&bytes);
            let told = Told::read(&bytes, None);
            proptest::prop_assert!(told.iter().all(|told| told.addresses.len() <= MOST_ADDRESSES));
        }
    }
}
